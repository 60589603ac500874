package engine

import "github.com/yardmaster/yardmaster/internal/scheduler"

// EntryEncoder encodes batches as log entries, as the propose loop does, for those who drive the core without an Engine.
// Not safe for concurrent use. Its zero value is ready.
type EntryEncoder struct{ enc encoder }

// Encode returns the entry of a batch. proposer and proposal make it distinct. Errors: text that isn't UTF-8.
func (e *EntryEncoder) Encode(b *scheduler.Batch, proposer, proposal uint64) ([]byte, error) {
	for i := range b.Commands {
		if err := encodable(&b.Commands[i]); err != nil {
			return nil, err
		}
	}
	return e.enc.entry(b, identity{proposer: proposer, proposal: proposal})
}

// DecodeEntry decodes a log entry into b, as a replay does. Its outcomes keep parts of data. Errors: data that no Encode
// made, a logic version or a command that this build doesn't know.
func DecodeEntry(data []byte, b *scheduler.Batch) error { return decodeEntry(data, b) }
