//go:build e2e && crash

package tests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// The crash lab's roles of the test binary. They begin before TestMain looks for those that the other tests have.
func init() {
	parts := map[string]func() int{roleInjected: playInjected, roleCrowd: playCrowd, roleCaged: playCaged}
	if part, ok := parts[os.Getenv(roleVariable)]; ok {
		os.Exit(part())
	}
}

// become makes this process another program, which knows nothing of roles. It returns only if that fails.
func become(argv []string) int {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, roleVariable+"=") || strings.HasPrefix(kv, rolesVariable+"=")
	})
	err := syscall.Exec(argv[0], argv, env)
	fmt.Fprintln(os.Stderr, "exec:", err)
	return 1
}
