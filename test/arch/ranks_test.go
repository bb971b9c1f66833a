package arch

import (
	"path"
	"strings"
)

// module is the import path of the root of the tree.
const module = "github.com/opentact/opentact"

// Limits of shape_test.go, in lines.
const (
	maxFunc = 80
	maxFile = 600
)

// rank is the height of a package in the plan: it may import what is lower, and its own sub-packages.
type rank int

const (
	kernel rank = iota
	engine
	platform
	platformUpper // platform that stands on db and bus
	platformEdge  // the HTTP API
	foundationAccount
	foundationBilling
	foundationNumber
	product
	wiring
	commands
	program
	tests
)

// subjects is the plan: every directory with Go code belongs to one of these, by its longest prefix.
var subjects = map[string]rank{
	"internal/fault":     kernel,
	"internal/e164":      kernel,
	"internal/money":     kernel,
	"internal/ident":     kernel,
	"internal/lifecycle": kernel,
	"internal/failpoint": kernel,

	"internal/sip":    engine,
	"internal/sdp":    engine,
	"internal/rtp":    engine,
	"internal/audio":  engine,
	"internal/gsm":    engine,
	"internal/smpp":   engine,
	"internal/shaken": engine,
	"internal/speech": engine,

	"internal/config":  platform,
	"internal/obs":     platform,
	"internal/db":      platform,
	"internal/bus":     platform,
	"internal/blob":    platform,
	"internal/fetch":   platform,
	"internal/event":   platformUpper,
	"internal/jobs":    platformUpper,
	"internal/cluster": platformUpper,
	"internal/httpapi": platformEdge,

	"internal/account": foundationAccount,
	"internal/billing": foundationBilling,
	"internal/number":  foundationNumber,

	"internal/trunk":     product,
	"internal/sipdomain": product,
	"internal/voice":     product,
	"internal/messaging": product,
	"internal/webhook":   product,
	"internal/stream":    product,
	"internal/sandbox":   product,
	"internal/console":   product,

	"internal/app": wiring,
	"internal/cli": commands,
	"cmd":          program,
	"test":         tests,
}

// siblings are the imports within one rank that the plan allows.
var siblings = map[[2]string]string{
	{"internal/rtp", "internal/audio"}:    "a media chain carries audio frames",
	{"internal/speech", "internal/audio"}: "engines speak and hear audio frames",
}

// strangers are pairs below one subject that must not know each other; the subject's own package joins them.
var strangers = [][2]string{
	{"internal/voice/call", "internal/voice/flow"},
}

// httpRooms may import net/http (and httpapi, where their rank lets them) in any file; everyone else only in *_http.go.
var httpRooms = []string{"internal/httpapi", "internal/fetch", "internal/obs", "internal/app", "internal/cli", "cmd", "test"}

// sqlRooms may write SQL in any file; everyone else only in *_store.go.
var sqlRooms = []string{"internal/db", "test"}

// keptState lists the package-level variables that do change, each with its reason. The key is "directory.name".
var keptState = map[string]string{
	"internal/failpoint.armed":    "what a crash test asks for in the environment; only in builds with the tag failpoint",
	"internal/ident.monotonic":    "RFC 9562 §6.2: one counter per process keeps identifiers of the same millisecond in order",
	"internal/db/dbtest.template": "the migrated template database is made once for a test process",
	"internal/db/dbtest.file":     "the migrated SQLite file is made once for a test process",
	"internal/db/dbtest.own":      "one PostgreSQL server serves a whole test process",
	"internal/db/dbtest.serial":   "gives each test of a process its own database name",
	"internal/db/dbtest.createMu": "PostgreSQL copies a template for one caller at a time",
}

// subject gives the entry of subjects that dir belongs to.
func subject(dir string) (string, bool) {
	for d := dir; d != "." && d != "/"; d = path.Dir(d) {
		if _, ok := subjects[d]; ok {
			return d, true
		}
	}
	return "", false
}

// within tells whether dir is one of rooms or lies below one.
func within(dir string, rooms []string) bool {
	for _, r := range rooms {
		if dir == r || strings.HasPrefix(dir, r+"/") {
			return true
		}
	}
	return false
}

// forTests tells whether a directory is a package for tests only, by its name: dbtest, speechtest, carriertest.
func forTests(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }
