package obs

import (
	"runtime"
	"runtime/debug"
)

// Build is what this program was made from.
type Build struct {
	Version string // of the release; "devel" without one
	Commit  string // abbreviated, with "+changes" when the checkout was not clean; may be empty
	BuiltOn string // time of the commit, RFC 3339 in UTC, by which equal sources give equal programs; may be empty
	Go      string
}

// ReadBuild takes the version that the linker set, if any, and the rest from what the Go command recorded in the binary.
func ReadBuild(version string) Build {
	b := Build{Version: version, Go: runtime.Version()}
	if b.Version == "" {
		b.Version = "devel"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(len(s.Value), 12)]
		case "vcs.time":
			b.BuiltOn = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if changed && b.Commit != "" {
		b.Commit += "+changes"
	}
	return b
}
