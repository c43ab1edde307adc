// Package control is the API's side of the node itself: how it stands, its settings, its doctor, its end.
//
// Invariants: a hot setting has taken effect when its change returns; a refusal repeats no value. Concurrency: all
// methods are safe for any goroutine. Persistence: the file of settings. Next: Panel.
package control

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
)

// endWait bounds how long a shutdown waits for leases to end; answerTime lets the answer to the shutdown itself leave.
const (
	endWait    = 6 * time.Minute
	answerTime = 200 * time.Millisecond
)

// Panel is api.Control.
type Panel struct {
	Self     market.NodeID
	Settings config.Options // where the settings came from
	State    func() api.Status
	Input    func() health.Input // what the doctor looks at
	Watch    *health.Watch
	Tune     func(c config.Config, names []string) error // gives the roles what is hot
	End      func(context.Context) error                 // ends the leases of all roles
	Stop     func()
	Tell     func(context.Context, store.Event)

	changing sync.Mutex // one change of settings at a time, up to its effect
}

var _ api.Control = (*Panel)(nil)

// Status implements api.Control.
func (p *Panel) Status(context.Context) (api.Status, error) { return p.State(), nil }

// Shutdown implements api.Control.
func (p *Panel) Shutdown(ctx context.Context, endLeases bool) error {
	p.security(ctx, p.Self.String(), "shutdown")
	if endLeases {
		ctx, cancel := context.WithTimeout(ctx, endWait)
		defer cancel()
		if err := p.End(ctx); err != nil {
			return err
		}
	}
	time.AfterFunc(answerTime, p.Stop)
	return nil
}

// security tells what an owner must be able to look up later.
func (p *Panel) security(ctx context.Context, id, cause string) {
	p.Tell(ctx, store.Event{Topic: "security", ID: id, Cause: cause, Money: true})
}

// Config implements api.Control: the settings as the node would read them now.
func (p *Panel) Config(context.Context) (api.Settings, error) {
	l, err := config.Load(p.Settings)
	if err != nil {
		return api.Settings{}, err
	}
	out := api.Settings{Schema: "gpuai.config/v1", File: l.Path, Settings: []api.Setting{}, Restart: []string{}}
	for _, k := range config.Keys() {
		out.Settings = append(out.Settings, api.Setting{Key: k.Name, Value: k.Text(&l.Config), From: l.Origin[k.Name],
			Hot: k.Hot})
	}
	return out, nil
}

// PatchConfig implements api.Control: what is hot takes effect before it returns. Errors: config-invalid, naming keys
// but no value.
func (p *Panel) PatchConfig(ctx context.Context, patch api.SettingsPatch) (restart []string, err error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	hot := map[string]bool{}
	for _, k := range config.Keys() {
		hot[k.Name] = k.Hot
	}
	names := slices.Sorted(maps.Keys(patch.Set))
	restart = []string{}
	for _, name := range names {
		now, known := hot[name]
		if !known {
			return nil, Invalid("there is no such key")
		}
		if !now {
			restart = append(restart, name)
		}
	}
	if _, err := config.Set(p.Settings, patch.Set); err != nil {
		if market.CodeOf(err) != market.CodeConfigInvalid {
			return nil, err
		}
		return nil, Invalid("a value is not valid for " + strings.Join(names, ", "))
	}
	p.security(ctx, strings.Join(names, ","), "config-changed")
	return restart, p.apply(names)
}

// apply gives the roles what is hot among the changed keys, as the node would read it now: a flag or the environment
// still goes before the file. The command line reads the customer's keys for each order.
func (p *Panel) apply(names []string) error {
	l, err := config.Load(p.Settings)
	if err != nil {
		return err
	}
	return p.Tune(l.Config, names)
}

// Invalid is a change of settings that was refused. It never repeats a value: it may be a secret.
func Invalid(detail string) error {
	return &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "change config", Detail: detail,
		Hint: "gpuai config show"}
}

// Health implements api.Control: what the hourly look found last.
func (p *Panel) Health(context.Context) (api.Doctor, error) {
	r := p.Watch.Last()
	d := api.DoctorOf("gpuai.health/v1", r)
	if !r.At.IsZero() {
		at := rest.At(r.At)
		d.CheckedAt = &at
	}
	return d, nil
}

// Doctor implements api.Control. Error: bad-usage for a group that does not exist.
func (p *Panel) Doctor(ctx context.Context, r api.DoctorRequest) (api.Doctor, error) {
	for _, g := range r.Only {
		if !health.Group(g) {
			return api.Doctor{}, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "run doctor",
				Detail: "there is no such group of checks", Hint: "gpuai doctor --list"}
		}
	}
	in := p.Input()
	in.Only, in.Offline = r.Only, r.Offline
	return api.DoctorOf("gpuai.doctor/v1", health.Report{Findings: health.Check(ctx, in)}), nil
}
