package docker

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testImage(env []string, entry, cmd []string) *image.InspectResponse {
	return &image.InspectResponse{ID: "sha256:abc", Config: &dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{Env: env, Entrypoint: entry, Cmd: cmd, User: "1000"},
	}}
}

// TestHostConfigGolden pins every field of the profile: a change shows in review.
func TestHostConfigGolden(t *testing.T) {
	plan := job.Plan{Spec: spec.Spec{Args: []string{"x"}, Env: map[string]string{"A": "1"}}, CPUMilli: 2500,
		RAM: 1 << 30, Shm: 1 << 28}
	gpu := plan
	gpu.Devices = []job.Device{{Kind: "gpu", UUID: "GPU-1"}, {Kind: "cpu", UUID: "CPU-1"}}
	hard := map[string]int64{"nofile": 20000, "memlock": 8 << 20}
	for name, c := range map[string]struct {
		plan job.Plan
		f    facts
		net  string
	}{
		"cpu":    {plan, facts{hard: hard, appArmor: true, ipv6: true}, "none"},
		"legacy": {gpu, facts{hard: map[string]int64{"nofile": -1, "memlock": -1}}, "container:g"},
		"cdi":    {gpu, facts{cdi: true}, "container:g"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, host := jobConfig(c.plan, testImage([]string{"NVIDIA_VISIBLE_DEVICES=all", "LD_PRELOAD=x"},
				[]string{"/e"}, []string{"c"}),
				map[string]string{"l": "1"}, c.net, "tools", map[string]string{"/workspace": "w", "/data": "v1"}, c.f)
			for i, o := range host.SecurityOpt {
				if strings.HasPrefix(o, "seccomp=") {
					host.SecurityOpt[i] = "seccomp=(file)"
				}
			}
			host.MaskedPaths = slices.DeleteFunc(host.MaskedPaths,
				func(p string) bool { return strings.Contains(p, "thermal_throttle") })
			got, err := json.MarshalIndent(map[string]any{"Config": cfg, "HostConfig": host}, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "profile-"+name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.TrimSpace(string(want)), string(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestJobEnv_ReservedAndLoader_AreGoneOrHidden(t *testing.T) {
	p := job.Plan{Spec: spec.Spec{Env: map[string]string{
		"CUDA_VISIBLE_DEVICES": "0", "GPUAI_X_LD_PRELOAD": "evil", "LD_LIBRARY_PATH": "/job",
		"NVIDIA_DRIVER_CAPABILITIES": "all", "A": "1",
	}}}
	got := jobEnv(p, []string{"LD_PRELOAD=/x.so", "LD_LIBRARY_PATH=/image", "NVIDIA_VISIBLE_DEVICES=all",
		"MELLANOX_VISIBLE_DEVICES=all", "PATH=/bin"})
	want := []string{
		"A=1", "CUDA_VISIBLE_DEVICES", "GPUAI_X_LD_LIBRARY_PATH=/job", "GPUAI_X_LD_PRELOAD=/x.so", "LD_LIBRARY_PATH",
		"LD_PRELOAD",
		"MELLANOX_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES=void",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	p.Devices = []job.Device{{Kind: "gpu", UUID: "GPU-1"}}
	if got := jobEnv(p, []string{"NVIDIA_VISIBLE_DEVICES=all"}); !slices.Contains(got, "NVIDIA_VISIBLE_DEVICES") {
		t.Errorf("a GPU job keeps the image's choice of devices: %v", got)
	}
}

func TestArgv_AsTheEngineDoes(t *testing.T) {
	entry, cmd := []string{"/e"}, []string{"c"}
	for _, c := range []struct {
		s    spec.Spec
		want []string
	}{
		{spec.Spec{}, []string{"/e", "c"}},
		{spec.Spec{Args: []string{"a"}}, []string{"/e", "a"}},
		{spec.Spec{Command: []string{"/x"}}, []string{"/x"}},
		{spec.Spec{Command: []string{"/x"}, Args: []string{"a"}}, []string{"/x", "a"}},
		{spec.Spec{Command: []string{""}, Args: []string{"a"}}, []string{"a"}},
	} {
		if d := cmp.Diff(c.want, argv(c.s, entry, cmd)); d != "" {
			t.Errorf("%+v: %s", c.s, d)
		}
	}
}

func TestCheckImage_Hostile_IsRefused(t *testing.T) {
	for name, change := range map[string]func(*image.InspectResponse){
		"platform": func(i *image.InspectResponse) { i.Architecture = "arm64" },
		"workdir":  func(i *image.InspectResponse) { i.Config.WorkingDir = "/proc/self/fd/8" },
		"dots":     func(i *image.InspectResponse) { i.Config.WorkingDir = "/x/../proc" },
		"double":   func(i *image.InspectResponse) { i.Config.WorkingDir = "//proc" },
		"relative": func(i *image.InspectResponse) { i.Config.WorkingDir = "proc" },
		"volume":   func(i *image.InspectResponse) { i.Config.Volumes = map[string]struct{}{"/.gpuai": {}} },
		"many": func(i *image.InspectResponse) {
			i.Config.Volumes = map[string]struct{}{}
			for _, c := range "abcdefghi" {
				i.Config.Volumes["/"+string(c)] = struct{}{}
			}
		},
	} {
		img := testImage(nil, nil, nil)
		img.Os, img.Architecture = "linux", "amd64"
		if err := checkImage(img); err != nil {
			t.Fatal(err)
		}
		change(img)
		if err := checkImage(img); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}
