//go:build !linux || !cgo

package nvml

import "fmt"

// Library stands in where NVML cannot be called.
type Library struct{}

// Open returns a library that reports ErrNoDriver.
func Open() *Library { return &Library{} }

// Close does nothing.
func (*Library) Close() {}

// Devices reports ErrNoDriver.
func (*Library) Devices() ([]Device, error) { return nil, errBuild() }

// Samples reports ErrNoDriver.
func (*Library) Samples() ([]Sample, error) { return nil, errBuild() }

func errBuild() error { return fmt.Errorf("%w: no NVML in this build", ErrNoDriver) }
