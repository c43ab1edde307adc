//go:build linux && cgo

package nvml

import (
	"errors"
	"testing"

	sdk "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/google/go-cmp/cmp"
)

// library is one GPU; methods that are not set panic, as an old driver would end the process. v2: the driver has the
// newer memory call.
func library(t *testing.T, v2 bool, d *mock.Device) *Library {
	t.Helper()
	d.GetUUIDFunc = func() (string, sdk.Return) { return "GPU-1", sdk.SUCCESS }
	d.GetUtilizationRatesFunc = func() (sdk.Utilization, sdk.Return) { return sdk.Utilization{Gpu: 3}, sdk.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, sdk.Return) { return 0, sdk.ERROR_NOT_SUPPORTED }
	d.GetTemperatureFunc = func(sdk.TemperatureSensors) (uint32, sdk.Return) { return 41, sdk.SUCCESS }
	ext := &mock.ExtendedInterface{LookupSymbolFunc: func(name string) error {
		if v2 && name == "nvmlDeviceGetMemoryInfo_v2" {
			return nil
		}
		return errors.New("no symbol " + name)
	}}
	api := &mock.Interface{
		DeviceGetCountFunc:         func() (int, sdk.Return) { return 1, sdk.SUCCESS },
		DeviceGetHandleByIndexFunc: func(int) (sdk.Device, sdk.Return) { return d, sdk.SUCCESS },
		ExtensionsFunc:             func() sdk.ExtendedInterface { return ext },
	}
	return &Library{api: api, has: map[string]bool{}}
}

func processes(pids ...uint32) func() ([]sdk.ProcessInfo, sdk.Return) {
	return func() (out []sdk.ProcessInfo, r sdk.Return) {
		for _, p := range pids {
			out = append(out, sdk.ProcessInfo{Pid: p})
		}
		return out, sdk.SUCCESS
	}
}

// TestSamples_HandOver: what a hand-over looks at is the job's memory, without what the driver reserves for itself, and
// all processes.
func TestSamples_HandOver(t *testing.T) {
	t.Parallel()
	util, temp, used, usedV1 := uint64(3), uint64(41), uint64(500), uint64(900)
	v1 := func() (sdk.Memory, sdk.Return) { return sdk.Memory{Total: 24 << 30, Used: 900 << 20}, sdk.SUCCESS }
	v2 := func() (sdk.Memory_v2, sdk.Return) {
		return sdk.Memory_v2{Total: 24 << 30, Reserved: 400 << 20, Used: 500 << 20}, sdk.SUCCESS
	}
	for name, c := range map[string]struct {
		lib  *Library
		want Sample
	}{
		"new driver": {library(t, true,
			&mock.Device{GetMemoryInfo_v2Func: v2, GetComputeRunningProcessesFunc: processes(9, 4)}),
			Sample{UUID: "GPU-1", Util: &util, TempC: &temp, UsedMiB: &used, PIDs: []uint32{4, 9}}},
		"old driver": {library(t, false,
			&mock.Device{GetMemoryInfoFunc: v1, GetComputeRunningProcessesFunc: processes()}),
			Sample{UUID: "GPU-1", Util: &util, TempC: &temp, UsedMiB: &usedV1}},
		"memory of the system": {library(t, true, &mock.Device{
			GetMemoryInfo_v2Func: func() (sdk.Memory_v2, sdk.Return) {
				return sdk.Memory_v2{},
					sdk.ERROR_NOT_SUPPORTED
			},
			GetMemoryInfoFunc: func() (sdk.Memory, sdk.Return) {
				return sdk.Memory{},
					sdk.ERROR_NOT_SUPPORTED
			},
			GetComputeRunningProcessesFunc: func() ([]sdk.ProcessInfo, sdk.Return) {
				return nil,
					sdk.ERROR_NOT_SUPPORTED
			},
		}), Sample{UUID: "GPU-1", Util: &util, TempC: &temp}},
		"lost": {library(t, false, &mock.Device{
			GetMemoryInfoFunc: func() (sdk.Memory, sdk.Return) {
				return sdk.Memory{},
					sdk.ERROR_GPU_IS_LOST
			},
			GetComputeRunningProcessesFunc: func() ([]sdk.ProcessInfo, sdk.Return) {
				return nil,
					sdk.ERROR_GPU_IS_LOST
			},
		}), Sample{UUID: "GPU-1", Util: &util, TempC: &temp, Fault: "list processes: NVML result 15"}},
	} {
		got, err := c.lib.Samples()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff([]Sample{c.want}, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
