package runtimetest

import "testing"

func TestFake_Conformance(t *testing.T) {
	Conformance(t, func(t *testing.T) Subject {
		f := NewFake()
		t.Cleanup(func() { _ = f.Close() })
		return Subject{Runner: f, Restart: func() Runner { return f }}
	})
}
