package obs

import (
	"context"
	"log/slog"
	"slices"
)

type contextKey struct{}

// With gives a context whose log lines carry the attributes too: ids of the request, call, message or account. A later attribute of
// the same name replaces the earlier one.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	all := slices.Clone(Attrs(ctx))
	for _, a := range attrs {
		all = slices.DeleteFunc(all, func(b slog.Attr) bool { return b.Key == a.Key })
		all = append(all, a)
	}
	return context.WithValue(ctx, contextKey{}, all)
}

// Attrs are what With has put into the context; they must not be changed.
func Attrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(contextKey{}).([]slog.Attr)
	return attrs
}

// contextHandler adds the context's attributes to each record. In a logger with an open group they land inside that group.
type contextHandler struct{ slog.Handler }

// Handle writes the record with the attributes of its context.
func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if attrs := Attrs(ctx); len(attrs) > 0 {
		r = r.Clone()
		r.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapping.
func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapping.
func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
