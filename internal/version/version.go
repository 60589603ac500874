// Package version tells which build this is.
package version

import "runtime/debug"

// Number is the release.
const Number = "0.2.0-dev"

// String is the release and, if the build was stamped, its revision.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Number
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = "+" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ".modified"
		}
	}
	if revision == "" {
		return Number
	}
	return Number + revision + modified
}
