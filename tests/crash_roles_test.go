//go:build e2e && crash

package tests

import "os"

// The crash lab's roles of the test binary. They begin before TestMain looks for those that the other tests have.
func init() {
	parts := map[string]func() int{roleInjected: playInjected}
	if part, ok := parts[os.Getenv(roleVariable)]; ok {
		os.Exit(part())
	}
}
