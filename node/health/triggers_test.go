package health

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// TestDoctor_MeasuredCodes: each code that rests on a measurement, and what lies just below it.
func TestDoctor_MeasuredCodes(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, c := range map[string]struct {
		got  []Finding
		want string
	}{
		"linux":           {[]Finding{system("linux/amd64", 4)}, ""},
		"mac":             {[]Finding{system("darwin/arm64", 8)}, "system-unsupported"},
		"local, free":     {volume{free: 30 * gib, total: 500 * gib}.judge("/d"), ""},
		"below 20 GiB":    {volume{free: 19 * gib, total: 100 * gib}.judge("/d"), "disk-full"},
		"below 5 percent": {volume{free: 30 * gib, total: 1000 * gib}.judge("/d"), "disk-full"},
		"nfs":             {volume{free: 30 * gib, total: 500 * gib, remote: "nfs"}.judge("/d"), "data-dir-remote"},
		"fast":            {[]Finding{syncTook(slowSync)}, ""},
		"slow":            {[]Finding{syncTook(slowSync + time.Millisecond)}, "disk-slow"},
		"all cores":       {append(Shares(config.Provider{Cores: 4, Memory: 8 * gib}, 4, 8*gib), ok("")), ""},
		"more cores":      {Shares(config.Provider{Cores: 5}, 4, 8*gib), "share-too-large"},
		"more memory":     {Shares(config.Provider{Memory: 9 * gib}, 4, 8*gib), "share-too-large"},
		"unknown memory":  {append(Shares(config.Provider{Memory: 9 * gib}, 4, 0), ok("")), ""},
		"no GPU":          {judgeGPUs(nil, nil), "gpu-none"},
		"ill GPU": {judgeGPUs([]gpu.Device{{Model: "x"}, {Model: "y", Unhealthy: "Xid 79"}}, nil),
			"gpu-unhealthy"},
		"no driver": {judgeGPUs([]gpu.Device{{Model: "x"}}, errors.New("driver is gone")), "driver-error"},
	} {
		if got := strings.Join(codes(c.got), " "); got != c.want || len(c.got) == 0 {
			t.Errorf("%s: found %+v, want %q", name, c.got, c.want)
		}
	}
}

// engineAt is an engine that answers what doctor asks; the client pings, then asks for version and info.
func engineAt(t *testing.T, version, info string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.47")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/version"):
			_, _ = w.Write([]byte(version))
		case strings.HasSuffix(r.URL.Path, "/info"):
			_, _ = w.Write([]byte(info))
		}
	}))
	t.Cleanup(s.Close)
	return "tcp://" + strings.TrimPrefix(s.URL, "http://")
}

func TestDoctor_EngineCodes(t *testing.T) {
	t.Parallel()
	const goodInfo = `{"OSType":"linux","Architecture":"x86_64","LiveRestoreEnabled":true,"DefaultRuntime":"runc","CgroupVersion":"2"`
	version := func(api, runc string) string {
		return fmt.Sprintf(`{"Version":"28.3.0","ApiVersion":%q,"Components":[{"Name":"runc","Version":%q}]}`, api,
			runc)
	}
	for name, c := range map[string]struct {
		version, info string
		want          market.Code
	}{
		"good":       {version("1.47", "1.3.4"), goodInfo + "}", ""},
		"old engine": {version("1.40", "1.3.4"), goodInfo + "}", market.CodeEngineUnsupported},
		"rootless": {version("1.47", "1.3.4"), goodInfo + `,"SecurityOptions":["name=rootless"]}`,
			market.CodeEngineUnsupported},
		"old runc": {version("1.47", "1.1.5"), goodInfo + "}", market.CodeRuncOld},
		"restarts": {version("1.47", "1.3.4"), strings.Replace(goodInfo, "true", "false", 1) + "}",
			market.CodeNoLiveRestore},
		"nvidia": {version("1.47", "1.3.4"), strings.Replace(goodInfo, `"runc"`, `"nvidia"`, 1) + "}",
			market.CodeNvidiaDefaultRuntime},
	} {
		var cfg config.Config
		cfg.Provider.DockerHost = engineAt(t, c.version, c.info)
		got := codes(Check(t.Context(), Input{Config: cfg, Only: []string{"engine"}}))
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, string(c.want)) {
			t.Errorf("%s: found %v, want %q", name, got, c.want)
		}
	}
}
