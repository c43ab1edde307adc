//go:build linux && cgo

package nvml

import (
	"fmt"
	"slices"

	sdk "github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Library is the loaded driver library, or the reason why there is none.
type Library struct {
	api  sdk.Interface
	fail error
	has  map[string]bool // symbols looked up so far: an old driver lacks some, and calling those ends the process
}

// Open loads the driver library. It never fails: the calls then report why (ErrNoDriver without a driver).
func Open() *Library {
	l := &Library{api: sdk.New(), has: map[string]bool{}}
	switch r := l.api.Init(); r {
	case sdk.SUCCESS:
	case sdk.ERROR_LIBRARY_NOT_FOUND, sdk.ERROR_DRIVER_NOT_LOADED:
		l.fail = fmt.Errorf("%w: %s", ErrNoDriver, text(r))
	default:
		l.fail = fmt.Errorf("init NVML: %s", text(r))
	}
	return l
}

// text names a result without the library, which may not be loaded.
func text(r sdk.Return) string {
	switch r {
	case sdk.ERROR_LIBRARY_NOT_FOUND:
		return "libnvidia-ml.so.1 not found"
	case sdk.ERROR_DRIVER_NOT_LOADED:
		return "the driver is not loaded"
	}
	return fmt.Sprintf("NVML result %d", int(r))
}

// Close unloads the library.
func (l *Library) Close() {
	if l.fail == nil {
		_ = l.api.Shutdown() // nothing follows
	}
}

func (l *Library) symbol(name string) bool {
	ok, seen := l.has[name]
	if !seen {
		ok = l.api.Extensions().LookupSymbol(name) == nil
		l.has[name] = ok
	}
	return ok
}

// Devices lists the GPUs. A GPU whose handle or UUID cannot be read is an error: a rig that hides a card must not sell
// it.
func (l *Library) Devices() ([]Device, error) {
	if l.fail != nil {
		return nil, l.fail
	}
	driver, r := l.api.SystemGetDriverVersion()
	if r != sdk.SUCCESS {
		return nil, fmt.Errorf("read driver version: %s", text(r))
	}
	cuda, cudaResult := l.api.SystemGetCudaDriverVersion_v2()
	var out []Device
	err := l.each(func(d sdk.Device, uuid string) error {
		dev := Device{UUID: uuid, Driver: driver, Minor: -1}
		if cudaResult == sdk.SUCCESS && cuda > 0 {
			dev.CUDA = number(uint64(cuda))
		}
		name, r := d.GetName()
		if r != sdk.SUCCESS {
			return fmt.Errorf("read name of %s: %s", uuid, text(r))
		}
		dev.Name = name
		l.identity(d, &dev)
		l.memory(d, &dev)
		l.limits(d, &dev)
		dev.Unhealthy = l.health(d)
		out = append(out, dev)
		return nil
	})
	return out, err
}

func (l *Library) each(f func(d sdk.Device, uuid string) error) error {
	n, r := l.api.DeviceGetCount()
	if r != sdk.SUCCESS {
		return fmt.Errorf("count devices: %s", text(r))
	}
	for i := range n {
		d, r := l.api.DeviceGetHandleByIndex(i)
		if r != sdk.SUCCESS {
			return fmt.Errorf("open device %d: %s", i, text(r))
		}
		uuid, r := d.GetUUID()
		if r != sdk.SUCCESS {
			return fmt.Errorf("read UUID of device %d: %s", i, text(r))
		}
		if err := f(d, uuid); err != nil {
			return err
		}
	}
	return nil
}

func (l *Library) identity(d sdk.Device, dev *Device) {
	if minor, r := d.GetMinorNumber(); r == sdk.SUCCESS {
		dev.Minor = minor
	}
	if p, r := d.GetPciInfo(); r == sdk.SUCCESS {
		dev.PCI = fmt.Sprintf("%08x:%02x:%02x.0", p.Domain, p.Bus, p.Device)
	}
	if major, minor, r := d.GetCudaComputeCapability(); r == sdk.SUCCESS && major > 0 {
		dev.CC = number(uint64(major*10 + minor))
	}
}

func (l *Library) memory(d sdk.Device, dev *Device) {
	if l.symbol("nvmlDeviceGetMemoryInfo_v2") { // version 1 counts reserved memory as used
		if m, r := d.GetMemoryInfo_v2(); r == sdk.SUCCESS {
			dev.VRAMMiB = (m.Total - min(m.Reserved, m.Total)) >> 20
		}
	}
	if dev.VRAMMiB == 0 {
		if m, r := d.GetMemoryInfo(); r == sdk.SUCCESS {
			dev.VRAMMiB = m.Total >> 20
		}
	}
	clock, r := d.GetMaxClockInfo(sdk.CLOCK_MEM)
	width, r2 := d.GetMemoryBusWidth()
	if r == sdk.SUCCESS && r2 == sdk.SUCCESS && clock > 0 && width > 0 {
		// MHz, double data rate, bits: an upper bound in GB/s
		dev.MemBW = number(uint64(clock) * 2 * uint64(width) / 8 / 1000)
	}
}

func (l *Library) limits(d sdk.Device, dev *Device) {
	if mw, r := d.GetEnforcedPowerLimit(); r == sdk.SUCCESS && mw > 0 {
		dev.PowerW = number(uint64(mw) / 1000)
	}
	if gen, r := d.GetMaxPcieLinkGeneration(); r == sdk.SUCCESS && gen > 0 { // the current one is 1 while idle
		dev.PCIeGen = number(uint64(gen))
	}
	if width, r := d.GetMaxPcieLinkWidth(); r == sdk.SUCCESS && width > 0 {
		dev.PCIeWidth = number(uint64(width))
	}
	if now, _, r := d.GetEccMode(); r == sdk.SUCCESS {
		dev.ECC = flag(now == sdk.FEATURE_ENABLED)
	}
	if now, _, r := d.GetMigMode(); r == sdk.SUCCESS {
		dev.MIG = flag(now == sdk.DEVICE_MIG_ENABLE)
	}
	if on, r := d.GetDisplayActive(); r == sdk.SUCCESS {
		dev.Display = flag(on == sdk.FEATURE_ENABLED)
	}
}

// health names what forbids new jobs: pages that wait for a reset, or a failed row remapping.
func (l *Library) health(d sdk.Device) string {
	if p, r := d.GetRetiredPagesPendingStatus(); r == sdk.SUCCESS && p == sdk.FEATURE_ENABLED {
		return "retired memory pages wait for a reset"
	}
	if l.symbol("nvmlDeviceGetRemappedRows") {
		_, _, pending, failed, r := d.GetRemappedRows()
		switch {
		case r == sdk.SUCCESS && failed:
			return "row remapping failed"
		case r == sdk.SUCCESS && pending:
			return "remapped memory rows wait for a reset"
		}
	}
	return ""
}

// Samples reads one sample of each GPU.
func (l *Library) Samples() ([]Sample, error) {
	if l.fail != nil {
		return nil, l.fail
	}
	var out []Sample
	err := l.each(func(d sdk.Device, uuid string) error {
		s := Sample{UUID: uuid}
		if u, r := d.GetUtilizationRates(); r == sdk.SUCCESS {
			s.Util = number(uint64(u.Gpu))
		}
		if p, r := d.GetPowerUsage(); r == sdk.SUCCESS {
			s.PowerMW = number(uint64(p))
		}
		if t, r := d.GetTemperature(sdk.TEMPERATURE_GPU); r == sdk.SUCCESS {
			s.TempC = number(uint64(t))
		}
		s.UsedMiB = l.used(d)
		switch ps, r := d.GetComputeRunningProcesses(); r {
		case sdk.SUCCESS:
			for _, p := range ps {
				s.PIDs = append(s.PIDs, p.Pid)
			}
			slices.Sort(s.PIDs)
		case sdk.ERROR_NOT_SUPPORTED:
		default: // a lost GPU must not look like a free one
			s.Fault = "list processes: " + text(r)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// used is nil where the driver states no memory of the GPU's own (GB10, GH200).
func (l *Library) used(d sdk.Device) *uint64 {
	if l.symbol("nvmlDeviceGetMemoryInfo_v2") { // version 1 counts reserved memory as used
		if m, r := d.GetMemoryInfo_v2(); r == sdk.SUCCESS {
			return number(m.Used >> 20)
		}
	}
	if m, r := d.GetMemoryInfo(); r == sdk.SUCCESS {
		return number(m.Used >> 20)
	}
	return nil
}

func number(v uint64) *uint64 { return &v }

func flag(on bool) *uint64 {
	if on {
		return number(1)
	}
	return number(0)
}
