package api

import (
	"context"
	"net/http"
	"sync"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// control are the routes of Control.
type control struct {
	b        Control
	patching sync.Mutex // one change at a time: what If-Match compared is what is changed
}

func (s *control) routes() []rest.Route {
	return []rest.Route{
		rest.Get("/version", "version", "min_client: the oldest client that is understood", s.version).
			In(rest.ScopeNone),
		rest.Get("/status", "status", "who this node is, its peers and counts", s.status),
		rest.Get("/health", "health", "what the hourly look at this machine found", s.health),
		rest.Tagged("GET", "/config", "config", "settings, where each is from, `hot`: applies without a restart",
			s.config).Fails(market.CodeConfigInvalid),
		rest.Tagged("PATCH", "/config", "patchConfig",
			"`{\"set\": {\"section.key\": \"text\"}}`; `restart` names keys that wait for the next start", s.patch).
			In(rest.ScopeAdmin).Fails(market.CodeConfigInvalid).Answers(http.StatusPreconditionFailed,
			market.CodeConflict).Asks(`{"set": {"customer.max_total": "0.05 SOL"}}`),
		rest.Call("POST", "/doctor", "doctor", "`{\"only\": [\"rig\"], \"offline\": true}`, both optional", s.doctor).
			Asks(`{"only": ["rig"], "offline": true}`),
		rest.Call("POST", "/shutdown", "shutdown", "`end_leases=true` ends the node's leases first", s.shutdown).
			In(rest.ScopeAdmin),
	}
}

func (s *control) version(context.Context, *none) (Build, error) {
	return Build{"gpuai.version/v1", Version, MinClient}, nil
}

func (s *control) status(ctx context.Context, _ *none) (Status, error) { return s.b.Status(ctx) }

func (s *control) health(ctx context.Context, _ *none) (Doctor, error) { return s.b.Health(ctx) }

// config gives the document and what its tag covers.
func (s *control) config(ctx context.Context, _ *none) (Settings, any, error) {
	c, err := s.b.Config(ctx)
	return c, c.Settings, err
}

type patchConfig struct {
	Match string `header:"If-Match" doc:"the ETag of what was read; another one is refused"`
	Body  SettingsPatch
}

func (s *control) patch(ctx context.Context, in *patchConfig) (c Settings, tag any, err error) {
	s.patching.Lock()
	defer s.patching.Unlock()
	if in.Match != "" { // a file that cannot be read can be mended without it
		if c, err = s.b.Config(ctx); err == nil {
			err = rest.Match(in.Match, c.Settings)
		}
	}
	if err == nil && len(in.Body.Set) == 0 {
		err = rest.Usage(http.StatusBadRequest, "set names no key")
	}
	if err != nil {
		return c, nil, err
	}
	restart, err := s.b.PatchConfig(ctx, in.Body)
	if err != nil {
		return c, nil, err
	}
	c, err = s.b.Config(ctx)
	c.Restart = append([]string{}, restart...) // a list is never null
	return c, c.Settings, err
}

type doctorIn struct{ Body *DoctorRequest }

func (s *control) doctor(ctx context.Context, in *doctorIn) (Doctor, error) {
	if in.Body == nil {
		in.Body = &DoctorRequest{}
	}
	return s.b.Doctor(ctx, *in.Body)
}

type shutdownIn struct {
	Empty
	EndLeases bool `query:"end_leases" doc:"ends the node's leases first, in at most 6 min"`
}

func (s *control) shutdown(ctx context.Context, in *shutdownIn) (done, error) {
	return isDone, s.b.Shutdown(ctx, in.EndLeases)
}
