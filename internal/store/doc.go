// Package store keeps the checkpoint: the state's rows as of one log index, and
// what tasks carry that the core never sees. Its one central type is Store, over
// one bbolt file.
//
// # What it does
//
// Save brings the file from one log index to a later one, in one transaction.
// Load hands every row to a new state at start; the log's entries after
// DurableIndex follow. Between the two the engine reads bodies at grant, and
// attempts and finished tasks when somebody asks. Expire deletes finished tasks
// whose retention is over, and the oldest that a queue has beyond its bound.
//
// # Buckets
//
//	globals … dead   a bucket a table of the core: row key -> row (storage/v1)
//	tasks among them first task id -> run of rows
//	bodies           first task id -> run of Body, of live tasks and dead letters
//	failures         task id -> Attempts, the last 10 of a live or finished task
//	finished         task id -> 17 bytes of header, Finished
//	expiry           (second, sequence) -> ids of finished tasks due by then
//	expiry-dead      the same of dead letters
//	finished-queues  number -> finished tasks and places of a queue, its name
//	finished-order   (queue's number, sequence) -> ids in order of finishing
//	meta             manifest -> Manifest; counts; snapshot -> consensus' blob
//
// Keys are big-endian, so that bbolt's order is that of the numbers, and written
// in that order. Every value ends in 4 bytes of CRC-32C over the value, seeded
// by bucket and key (see place).
//
// A run holds several tasks' rows or bodies in one value (see runMarker), as
// bbolt's work is by row whatever it holds. Whoever removes one of them writes
// the others again, so a run stays within half a page. Counts are of tasks, not
// of runs.
//
// A finished task costs one write among the others of its bucket and shares of
// two rows of places: a checkpoint adds a row of expiry for each second in which
// some of its tasks expire, and one of finishing for each queue, at most
// placeRowIDs ids each. Such a place is never looked for when a task is retried,
// deleted or expired: who consumes the rows from the front compares each place
// with the finished task itself, and passes over one that is gone or has another
// place. The rejected design, a key per task in order of (expiry, id), costs a
// second write in the middle of a bucket for every task.
//
// # Formats
//
// The manifest says the file's format. Format 1, of release 0.1.0, had neither
// finished-queues nor finished-order, 13 bytes of header without the queue, and
// the last attempt alone in failures. Format 2 had no runs: a row for each task
// and each body, which are still read as runs of one. Open carries them over in
// one transaction (see upgrade); Check and Compact know them as they are. There
// is no way back, and a newer format than this build's is refused.
//
// # Invariants
//
//   - Rows of a bucket with runs are in order of id throughout: no run reaches
//     past the next one's key.
//   - Manifest, counts, rows and bodies change in one transaction.
//   - What Save has taken, Load takes back: both refuse the same rows.
//   - Every finished task has a place in one of the expiry buckets, and every one
//     that its queue counts has one in finished-order.
//   - Attempts go by DropFailures, or with a finished task that Expire deletes.
//   - Once the file exists under its name, it is whole: it is made, and
//     compacted, under another one.
//   - A process that has locked the file holds the one that has the name.
//   - What Open has read is durable before anything is written: an earlier process
//     may have been killed before its fsync.
//
// # Failure
//
// The first write that fails, for whatever reason, is the last: its error is
// returned once, and every later write returns it again with ErrFailed. The
// process should end; the log has what the checkpoint lacks. Nothing is ever
// retried after a failed fsync.
//
// A crash leaves the last checkpoint whole, and at most an unfinished file of
// another name, which the next Open removes.
//
// Damage that checksums, counts or bbolt find is ErrDamaged, with the bucket and
// the key, that of a run with its first id and how many it holds: all of them are
// lost. Save leaves damaged bodies as they are, and fails rather than give damaged
// rows of tasks a new checksum. Check lists all of it. A disk that can't read its sectors is an error
// of Load and Check, which read the file once from end to end if it isn't
// cached; later it is a fault that ends the process, as bbolt maps the file.
//
// Reads and writes may run at the same time. bbolt can't use the space again of
// what a running read transaction still sees, so none waits for anything.
package store
