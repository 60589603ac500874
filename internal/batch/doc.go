// Package batch decides what goes into the next log entry. Its one type, Batcher, is a bounded first-in-first-out line of
// proposed commands: what arrives while the previous entry is made durable is the next one, cut where an entry would
// change too many rows or grow too large. It is pure: no goroutine, no clock; the engine's lock guards it.
package batch
