// Package nvml reads NVIDIA's management library. It is built with cgo on Linux; elsewhere a stub reports ErrNoDriver.
//
// Invariants: only runtime/gpu's child process may call it, since a symbol that an old driver lacks ends the process; a
// value that the driver does not support is nil, never 0. Concurrency: one goroutine. Persistence: none. Next:
// Library.Devices.
package nvml

import "errors"

// ErrNoDriver reports a machine without libnvidia-ml, or a build without NVML.
var ErrNoDriver = errors.New("no NVIDIA driver")

// Device is one GPU as the driver states it. Units: CC ×10, CUDA 12040 = 12.4, power W, memory bandwidth GB/s, flags 0
// or 1. nil: not stated. Unhealthy says why no job may start on it.
type Device struct {
	UUID      string  `json:"uuid"`
	Name      string  `json:"name"`
	PCI       string  `json:"pci,omitempty"`
	Driver    string  `json:"driver,omitempty"`
	Minor     int     `json:"minor"`
	VRAMMiB   uint64  `json:"vram_mib,omitempty"`
	CC        *uint64 `json:"cc,omitempty"`
	CUDA      *uint64 `json:"cuda,omitempty"`
	PowerW    *uint64 `json:"power_w,omitempty"`
	PCIeGen   *uint64 `json:"pcie_gen,omitempty"`
	PCIeWidth *uint64 `json:"pcie_width,omitempty"`
	MemBW     *uint64 `json:"mem_bw,omitempty"`
	ECC       *uint64 `json:"ecc,omitempty"`
	MIG       *uint64 `json:"mig,omitempty"`
	Display   *uint64 `json:"display,omitempty"`
	Unhealthy string  `json:"unhealthy,omitempty"`
}

// Sample is a moment of one GPU: utilisation in %, power in mW, temperature in °C, used memory in MiB, processes that
// hold it. Fault says why the processes are not known.
type Sample struct {
	Fault   string   `json:"fault,omitempty"`
	UUID    string   `json:"uuid"`
	Util    *uint64  `json:"util,omitempty"`
	PowerMW *uint64  `json:"power_mw,omitempty"`
	TempC   *uint64  `json:"temp_c,omitempty"`
	UsedMiB *uint64  `json:"used_mib,omitempty"`
	PIDs    []uint32 `json:"pids,omitempty"`
}
