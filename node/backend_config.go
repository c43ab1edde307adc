package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

// Config implements api.Backend: the settings as the node would read them now.
func (b *Backend) Config(context.Context) (api.Settings, error) {
	l, err := config.Load(b.settings)
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

// PatchConfig implements api.Backend: what is hot takes effect before it returns. Errors: config-invalid, naming keys
// but no value.
func (b *Backend) PatchConfig(ctx context.Context, p api.SettingsPatch) (restart []string, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	hot := map[string]bool{}
	for _, k := range config.Keys() {
		hot[k.Name] = k.Hot
	}
	names := slices.Sorted(maps.Keys(p.Set))
	restart = []string{}
	for _, name := range names {
		now, known := hot[name]
		if !known {
			return nil, invalidSetting("there is no such key")
		}
		if !now {
			restart = append(restart, name)
		}
	}
	if _, err := config.Set(b.settings, p.Set); err != nil {
		if market.CodeOf(err) != market.CodeConfigInvalid {
			return nil, err
		}
		return nil, invalidSetting("a value is not valid for " + strings.Join(names, ", "))
	}
	b.security(ctx, strings.Join(names, ","), "config-changed")
	return restart, b.apply(names)
}

// apply gives the roles what is hot among the changed keys, as the node would read it now: a flag or the environment
// still goes before the file. The command line reads the customer's keys for each order.
func (b *Backend) apply(names []string) error {
	l, err := config.Load(b.settings)
	if err != nil {
		return err
	}
	var errs []error
	each(b.n, func(g tunable) { errs = append(errs, g.Tune(l.Config, names)) })
	return errors.Join(errs...)
}

func invalidSetting(detail string) error {
	return &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "change config", Detail: detail,
		Hint: "gpuai config show"}
}

// PatchProvider implements api.Backend: rates go to the settings, so that they outlive the node.
func (b *Backend) PatchProvider(ctx context.Context, p api.ProviderPatch) (err error) {
	if _, err = b.provider(); err != nil {
		return err
	}
	set := map[string]string{}
	if p.Rate != nil {
		if set["provider.rate"], err = rateText(*p.Rate); err != nil {
			return err
		}
	}
	if p.Rates != nil {
		pairs := []string{}
		for _, class := range slices.Sorted(maps.Keys(p.Rates)) {
			text, err := rateText(p.Rates[class])
			if err == nil && class != market.Slug(class) {
				err = errors.New("not a slug")
			}
			if err != nil {
				return invalidSetting("rates are of models, as in rtx-4090, in lamports per hour")
			}
			pairs = append(pairs, class+"="+text)
		}
		set["provider.rates"] = strings.Join(pairs, ",")
	}
	if len(set) > 0 {
		if _, err := b.PatchConfig(ctx, api.SettingsPatch{Set: set}); err != nil {
			return err
		}
	}
	if p.Selling != nil {
		_, err = b.ProviderSell(ctx, *p.Selling)
	}
	return err
}

func rateText(m api.Money) (string, error) {
	if m.Lamports() == 0 || m.Per != "" && m.Per != "hour" || m.Mint != "" && m.Mint != api.SOL(0).Mint {
		return "", invalidSetting("a rate is lamports per hour, above 0")
	}
	return m.Lamports().SOL() + "/h", nil
}
