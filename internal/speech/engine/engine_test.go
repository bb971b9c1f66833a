package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCleanTextIsOneLineWithoutControls(t *testing.T) {
	for in, want := range map[string]string{
		" one \r\n two\t three ": "one two three", "a\x00b\x1bc": "a b c", "\xff\xfe": "", "a\u202eb\u200b": "ab", "किन्\u200dतु": "किन्\u200dतु", "": "",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestTagsOfOneLanguageAreEqual(t *testing.T) {
	for in, want := range map[string]string{
		"en-us": "en-US", "EN_gb": "en-GB", "zh-cn": "cmn", "zh-HK": "yue", "no": "nb", "iw": "he", "sr-latn-rs": "sr-Latn-RS",
		"en-gb-x-rp": "en-GB-x-rp", "es-419": "es-419", "": "", "-": "-",
	} {
		if got := Tag(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if Primary("zh-Hans-CN") != "cmn" || Primary("de-AT") != "de" {
		t.Error("primary language")
	}
}

func TestLanguageCountsBeforeGenderBeforeType(t *testing.T) {
	list := []Voice{
		{Code: "us-f", Lang: "en-US", Gender: Female, Type: Standard},
		{Code: "us-m", Lang: "en-US", Gender: Male, Type: Standard},
		{Code: "us-m2", Lang: "en-US", Gender: Male, Type: "WaveNet"},
		{Code: "gb-m", Lang: "en-GB", Gender: Male, Type: Standard},
		{Code: "de-at", Lang: "de-AT", Gender: Male, Type: Standard},
		{Code: "de", Lang: "de", Gender: Male, Type: Standard},
	}
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{}, "us-f"},
		{Request{Gender: Male}, "us-m"},
		{Request{Gender: "male", Type: "wavenet"}, "us-m2"},
		{Request{Lang: "en-GB"}, "gb-m"},
		{Request{Lang: "en-AU", Gender: Male}, "us-m"},
		{Request{Lang: "de-CH", Gender: Female}, "de"},
		{Request{Lang: "de-AT"}, "de-at"},
		{Request{Code: "gb-m", Lang: "de", Gender: Female}, "gb-m"},
		{Request{Lang: "fr"}, ""},
		{Request{Code: "none"}, ""},
		{Request{Type: "WaveNet"}, "us-f"},
	} {
		got, err := Choose(list, c.r)
		if got.Code != c.want || (c.want == "") != errors.Is(err, ErrUnknownVoice) {
			t.Errorf("%+v: %q, %v; want %q", c.r, got.Code, err, c.want)
		}
	}
}

func TestProgramGetsItsInputAndNothingElse(t *testing.T) {
	out, err := Run(t.Context(), Command{Program: "cat", Stdin: []byte("-n $HOME")})
	if err != nil || string(out) != "-n $HOME" {
		t.Fatalf("%q, %v", out, err)
	}
	t.Setenv("SECRET_OF_THE_SERVER", "x")
	out, err = Run(t.Context(), Command{Program: "env"})
	if err != nil || strings.Contains(string(out), "SECRET") || !strings.Contains(string(out), "LC_ALL=C.UTF-8") {
		t.Fatalf("%q, %v", out, err)
	}
}

func TestProgramThatFailsTellsWhy(t *testing.T) {
	_, err := Run(t.Context(), Command{Program: "sh", Args: []string{"-c", "echo broken model >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "broken model") {
		t.Fatalf("%v", err)
	}
	var missing *MissingError
	for _, program := range []string{"no-such-program", t.TempDir() + "/no-such-program"} {
		if _, err = Run(t.Context(), Command{Program: program, Package: "some"}); !errors.As(err, &missing) || missing.Package != "some" {
			t.Fatalf("%v", err)
		}
	}
}

func TestProgramIsStoppedWithItsChildren(t *testing.T) {
	begin := time.Now()
	_, err := Run(t.Context(), Command{Program: "sh", Args: []string{"-c", "sleep 300 & wait"}, Timeout: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 30*time.Second {
		t.Fatalf("timeout: %v after %v", err, time.Since(begin))
	}
	hangup := errors.New("caller hung up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(hangup)
	if _, err = Run(ctx, Command{Program: "sleep", Args: []string{"300"}}); !errors.Is(err, hangup) {
		t.Fatalf("cause: %v", err)
	}
}

func TestEndlessOutputEndsTheProgram(t *testing.T) {
	if _, err := Run(t.Context(), Command{Program: "cat", Args: []string{"/dev/zero"}}); !errors.Is(err, errOutput) {
		t.Fatalf("%v", err)
	}
}
