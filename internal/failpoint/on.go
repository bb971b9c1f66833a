//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// armed is what the environment wants; it is read at the first Hit.
var armed = sync.OnceValue(func() plan {
	p, err := parse(os.Getenv(Env))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return p
})

// Hit counts one passing of the moment and does what the environment wants at this count.
func Hit(name string) {
	p := armed()[name]
	if p == nil || p.hits.Add(1) != p.at {
		return
	}
	fmt.Fprintf(os.Stderr, "failpoint %s: hit %d\n", name, p.at)
	p.act()
}

// kill ends the process as a power cut would: nothing after it runs, on no goroutine.
func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
