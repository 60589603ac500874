// Package watch has the two ways to follow something from outside: [Ring], a broadcast that reports lag, and [Latest], a
// value of which only the newest counts. Both are bounded whatever their readers do: a writer never waits for a reader, and
// a reader costs nothing but its own place.
//
// Tokio's broadcast and watch channels are their models. The rejected design is a queue per reader: a slow one would cost
// memory or hold the writer back.
package watch
