package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/speech"
)

// checkSpeech starts the configured engines.
func checkSpeech(ctx context.Context, cfg config.Config) []Check {
	const name = "speech"
	ctx, cancel := context.WithTimeout(ctx, speechTimeout)
	defer cancel()
	engines, err := speech.New(speech.Options{TTS: cfg.SpeechTTS, STT: cfg.SpeechSTT})
	if err != nil {
		return []Check{red(name, err.Error(), "correct --speech-tts or --speech-stt")}
	}
	defer engines.Close()
	var out []Check
	for _, p := range engines.Check(ctx) {
		fix := "install it, or turn the engine off with none"
		if p.Package != "" {
			fix = "apt-get install " + p.Package
		}
		detail := p.Detail
		if p.Program != "" {
			detail = p.Program + " is missing"
		}
		out = append(out, red(name+" "+p.Engine, detail, fix))
	}
	if len(out) == 0 {
		out = append(out, green(name, "%s speaks, %s understands", cfg.SpeechTTS, cfg.SpeechSTT))
	}
	return out
}

// checkPrograms looks for the programs that single features need.
func checkPrograms() []Check {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return []Check{yellow("ffmpeg", "not installed: recordings are WAV only", "apt-get install ffmpeg")}
	}
	return []Check{green("ffmpeg", "%s", path)}
}

// checkDatabase opens the database as serve would, but makes no file.
func checkDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) []Check {
	const name = "database"
	if path, ok := strings.CutPrefix(cfg.DB, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := writable(filepath.Dir(path)); err != nil {
				return []Check{red(name, err.Error(), "choose a directory that this user may write with --data")}
			}
			return []Check{green(name, "%s will be made at the first start", path)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	d, err := db.Open(ctx, db.Config{URL: cfg.DB, Logger: log})
	if err != nil {
		return []Check{red(name, err.Error(), "start the database, or correct --db")}
	}
	defer d.Close()
	steps, err := d.MigrateStatus(ctx)
	if err != nil {
		return []Check{red(name, err.Error(), "see that the user of --db may read the schema")}
	}
	pending := 0
	for _, s := range steps {
		if !s.Applied {
			pending++
		}
	}
	switch {
	case pending == 0:
		return []Check{green(name, "%s answers, its schema is up to date", d.Engine())}
	case cfg.Migrate || d.Engine() == db.SQLite:
		return []Check{green(name, "%s answers; the next start brings its schema up by %d steps", d.Engine(), pending)}
	}
	return []Check{red(name, fmt.Sprintf("%s answers, but its schema is %d steps behind", d.Engine(), pending), "opentact migrate up")}
}

// writable tells why no file can be made in dir, or in the nearest directory above it that exists.
func writable(dir string) error {
	at := existing(dir)
	f, err := os.CreateTemp(at, ".opentact-doctor-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", at, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// existing is dir, or the nearest directory above it that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// checkBlob looks at the directory of recordings.
func checkBlob(cfg config.Config) []Check {
	dir := strings.TrimPrefix(strings.TrimPrefix(cfg.Blob, "file:"), "//")
	if err := writable(dir); err != nil {
		return []Check{red("media store", err.Error(), "choose a directory that this user may write with --blob")}
	}
	return []Check{green("media store", "%s can be written", dir)}
}

func checkDisk(cfg config.Config) []Check {
	const name = "disk space"
	at := existing(cfg.Data)
	free, err := diskFree(at)
	text := fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), at)
	switch {
	case err != nil:
		return []Check{yellow(name, err.Error(), "see that the data directory can be reached")}
	case free < diskLow:
		return []Check{red(name, text, "make room, or choose another --data; one hour of recording takes 58 MB")}
	case free < diskScarce:
		return []Check{yellow(name, text, "make room soon; one hour of recording takes 58 MB")}
	}
	return []Check{green(name, "%s", text)}
}

func checkFiles() []Check {
	const name, fix = "open files", "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit"
	limit, err := openFiles()
	text := fmt.Sprintf("at most %d", limit)
	switch {
	case err != nil:
		return []Check{yellow(name, err.Error(), fix)}
	case limit < filesLow:
		return []Check{red(name, text, fix)}
	case limit < filesScarce:
		return []Check{yellow(name, text, fix)}
	}
	return []Check{green(name, "%s", text)}
}

// checkUDPBuffers reads what Linux allows a socket to ask for; other systems have no such place.
func checkUDPBuffers() []Check {
	var out []Check
	for _, way := range []struct{ file, name string }{{"rmem_max", "udp receive buffer"}, {"wmem_max", "udp send buffer"}} {
		b, err := os.ReadFile(filepath.Join("/proc/sys/net/core", way.file))
		if err != nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			continue
		}
		if n < udpBuffer {
			out = append(out, yellow(way.name, fmt.Sprintf("at most %d KiB: bursts of SIP may be lost under load", n/1024), fmt.Sprintf("sysctl -w net.core.%s=%d", way.file, 4*udpBuffer)))
			continue
		}
		out = append(out, green(way.name, "at most %d KiB", n/1024))
	}
	return out
}
