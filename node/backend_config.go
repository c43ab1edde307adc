package node

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

// hotKeys take effect while the node runs; all others wait for its next start.
var hotKeys = []string{
	"customer.max_total", "customer.keep_channel", "customer.away", // the command line reads these for each order
}

// Config implements api.Backend: the settings as the node would read them now.
func (b *Backend) Config(context.Context) (api.Settings, error) {
	l, err := config.Load(b.settings)
	if err != nil {
		return api.Settings{}, err
	}
	out := api.Settings{Schema: "gpuai.config/v1", File: l.Path, Settings: []api.Setting{}, Restart: []string{}}
	for _, k := range config.Keys() {
		out.Settings = append(out.Settings, api.Setting{Key: k.Name, Value: masked(k.Text(&l.Config)), From: l.Origin[k.Name], Hot: slices.Contains(hotKeys, k.Name)})
	}
	return out, nil
}

// masked hides what an address of an endpoint may carry: a password, or a query with a key.
func masked(value string) string {
	parts := strings.Split(value, ",")
	for i, p := range parts {
		u, err := url.Parse(p)
		if err != nil || u.Scheme == "" || u.Host == "" {
			continue
		}
		if u.User != nil || u.RawQuery != "" {
			parts[i] = u.Scheme + "://" + u.Host + u.EscapedPath() + "?…"
		}
	}
	return strings.Join(parts, ",")
}

// PatchConfig implements api.Backend. Errors: config-invalid, naming keys but no value.
func (b *Backend) PatchConfig(_ context.Context, p api.SettingsPatch) (restart []string, err error) {
	known := map[string]bool{}
	for _, k := range config.Keys() {
		known[k.Name] = true
	}
	names := slices.Sorted(maps.Keys(p.Set))
	for _, name := range names {
		if !known[name] {
			return nil, invalidSetting("there is no such key")
		}
	}
	if _, err := config.Set(b.settings, p.Set); err != nil {
		if market.CodeOf(err) != "config-invalid" {
			return nil, err
		}
		return nil, invalidSetting("a value is not valid for " + strings.Join(names, ", "))
	}
	restart = []string{}
	for _, name := range names {
		if !slices.Contains(hotKeys, name) {
			restart = append(restart, name)
		}
	}
	return restart, nil
}

func invalidSetting(detail string) error {
	return &market.Error{Code: "config-invalid", Kind: market.KindInvalid, Op: "change config", Detail: detail, Hint: "gpuai config show"}
}

// rateDoc is a rate of the settings, which were checked at the start.
func (b *Backend) rateDoc(text string) api.Money {
	r, err := market.ParseRateSOL(text)
	if err != nil {
		return api.RateSOL(0)
	}
	return api.RateSOL(r)
}

// PatchProvider implements api.Backend: rates go to the settings, so that they outlive the node.
func (b *Backend) PatchProvider(ctx context.Context, p api.ProviderPatch) error {
	prov, err := b.provider()
	if err != nil {
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
		prov.SetSelling(*p.Selling)
	}
	return nil
}

func rateText(m api.Money) (string, error) {
	if m.Lamports() == 0 || m.Per != "" && m.Per != "hour" || m.Mint != "" && m.Mint != api.SOL(0).Mint {
		return "", invalidSetting("a rate is lamports per hour, above 0")
	}
	return m.Lamports().SOL() + "/h", nil
}
