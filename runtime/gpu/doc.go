// Package gpu lists the devices of a rig: GPUs through NVML, simulated GPUs of a localnet, and the CPU slot.
//
// Invariants: all NVML calls run in a child process (`gpuai gpu-agent`), because an old driver can kill or hang the
// process that calls it; a value the driver does not state is absent, never 0; a UUID that appears twice is refused
// both times; a MIG parent is never listed beside its instances. Concurrency: Agent serialises its calls. Persistence:
// none.
// Next: Inventory, then Agent for samples, RunAgent for the child's side.
package gpu
