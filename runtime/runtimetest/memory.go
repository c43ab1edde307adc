package runtimetest

import (
	"bytes"
	"context"
	"sync"

	"github.com/gpuai/gpuai/runtime/job"
)

// Memory is a job.Memory that outlives a runner, as the store does.
type Memory struct {
	mu   sync.Mutex
	rows map[job.Key][]byte
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{rows: map[job.Key][]byte{}} }

// Load implements job.Memory.
func (m *Memory) Load(_ context.Context, k job.Key) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.rows[k]), nil
}

// Save implements job.Memory.
func (m *Memory) Save(_ context.Context, k job.Key, row []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[k] = bytes.Clone(row)
	return nil
}
