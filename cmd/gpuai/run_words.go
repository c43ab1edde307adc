package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// noOffer says why no rig fits and what would. Of a model that nobody offers it names those that are on offer.
func (a *App) noOffer(ctx context.Context, c *api.Client, p api.Plan) error {
	var why []string
	for _, r := range p.Rejections {
		why = append(why, r.Detail)
	}
	e := &market.Error{
		Code: market.CodeNoOfferFits, Kind: market.KindConflict, Op: "match order",
		Detail: or(strings.Join(why, "; "), a.nobody(ctx, c)),
		Hint:   or(p.NearestHint, "gpuai offers"),
	}
	e.Detail += defaultSizes(p)
	wants := p.Request.Job.Classes()
	byClass := func(r api.Rejection) bool { return r.Code == "class" }
	if len(wants) == 0 || !slices.ContainsFunc(p.Rejections, byClass) {
		return e
	}
	list, err := c.Offers(ctx, market.Sort{})
	if err != nil {
		return e // what the plan says is true all the same
	}
	models := modelsOf(list)
	if slices.ContainsFunc(wants, func(m string) bool { return slices.Contains(models, m) }) {
		return e
	}
	wanted := strings.Join(wants, " or ")
	e.Detail = "nobody offers " + wanted + "; on offer are: " + strings.Join(models, ", ")
	if near := market.Nearest(wants[0], models, 3); near != "" {
		e.Detail += "; did you mean " + near + "?"
	}
	e.Hint = "gpuai offers"
	return e
}

// defaultSizes names the sizes that keep rigs from fitting and that a job gets which names none.
func defaultSizes(p api.Plan) string {
	var out []string
	for _, d := range []struct {
		field string
		is    bool
		says  string
	}{
		{"rig_cpu", p.Request.Job.CPUMilli == spec.DefaultCPU, "2 cores (--cpu)"},
		{"rig_ram", p.Request.Job.Memory == spec.DefaultMemory, "4GiB of memory (--memory)"},
		{"disk", p.Request.Job.Disk == spec.DefaultDisk, "20GiB of disk (--disk)"},
	} {
		fails := func(r api.Rejection) bool { return strings.Contains(r.Detail, d.field+" >=") }
		if d.is && slices.ContainsFunc(p.Rejections, fails) {
			out = append(out, d.says)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "; a job that names none asks for " + strings.Join(out, ", ")
}

// modelsOf are the models of a list of offers, each once, in order.
func modelsOf(list []api.Offer) (out []string) {
	for _, o := range list {
		if !slices.Contains(out, clean(o.Class)) {
			out = append(out, clean(o.Class))
		}
	}
	slices.Sort(out)
	return out
}

// overtime is the error of a --timeout that ended the command and not its order, which goes on and costs.
func (a *App) overtime(err error, o *api.Order) error {
	if !errors.Is(err, context.DeadlineExceeded) || a.timeout == 0 || o.ID == "" || o.Ended() {
		return err
	}
	costs := ""
	if o.Rate.Lamports() > 0 {
		costs = " and costs " + o.Rate.String()
	}
	e := &market.Error{
		Code: market.CodeTimeout, Kind: market.KindUnavailable, Op: "follow order", Hint: "gpuai stop " + word(*o),
		Detail: fmt.Sprintf("--timeout %s ended this command only: %s goes on%s; follow it: gpuai logs -f %s",
			span(a.timeout), called(*o), costs, word(*o)),
	}
	return attachedUnless(e)
}

// unread tells that standard input goes nowhere, if there is some: a job takes files.
func (a *App) unread() {
	f, ok := a.in.(*os.File)
	if !ok {
		return
	}
	info, err := f.Stat()
	if err != nil {
		return
	}
	if info.Mode().IsRegular() && info.Size() > 0 || info.Mode()&os.ModeNamedPipe != 0 && pending(f) {
		a.say("standard input is not given to the job; a file goes in by --in FILE:/workspace/FILE")
	}
}
