package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// stopWait bounds how long an interrupted command waits for the node to hear of it.
const stopWait = 10 * time.Second

// runOptions are the flags of gpuai run beside those of the job itself.
type runOptions struct {
	job        spec.Flags
	detach     bool
	dry        bool
	keep       bool
	statusFile string
	allow      bool // left out or missing files do not change the exit code
}

func newRunCmd(a *App) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use: "run [FILE] [IMAGE] [-- COMMAND...]", Short: "Rent, run a job, bring its outputs home, get the rest back",
		Example: "  gpuai run --gpu rtx-4090 --max-total 0.02 pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime -- " +
			"nvidia-smi\n" +
			"  gpuai run --wait 2h -d --gpu h100 --max-rate 0.01/h --max-total 0.1 pytorch/pytorch -- nvidia-smi\n" +
			"  gpuai run --in ./src:/workspace/src --out /workspace/out:./out job.yaml\n  gpuai run --dry-run job.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("rm") {
				a.say("--rm: every job's container is removed at its end")
			}
			return a.run(cmd.Context(), o, args, cmd.ArgsLenAtDash())
		},
	}
	f := cmd.Flags()
	o.job = orderFlags(f, func(spec.Flag) bool { return true })
	f.BoolVarP(&o.detach, "detach", "d", false, "return once the order is placed")
	f.BoolVar(&o.dry, "dry-run", false, "show the plan, sign nothing")
	f.BoolVar(&o.keep, "keep-channel", false, "leave the deposit for the next order")
	f.Bool("rm", true, "as of docker run: what every job does")
	_ = f.MarkHidden("rm") // it exists
	f.BoolVar(&o.allow, "allow-missing-outputs", false, "exit 0 although an output is missing, or files were left out")
	f.StringVar(&o.statusFile, "status-file", "",
		"write here, at the end, the order, our problem if any, and the exit code")
	return cmd
}

// orderFlags adds the flags of a job that are chosen, and returns what is typed for them.
func orderFlags(f *pflag.FlagSet, chosen func(spec.Flag) bool) spec.Flags {
	typed := spec.Flags{}
	for _, x := range spec.OrderFlags() {
		if chosen(x) {
			f.VarP(typedFlag{typed, x}, x.Name, x.Short, x.Usage)
		}
	}
	return typed
}

// typedFlag keeps the words of one flag as they were typed.
type typedFlag struct {
	to   spec.Flags
	flag spec.Flag
}

// String implements pflag.Value: no flag of a job has a default here.
func (typedFlag) String() string { return "" }

// Set implements pflag.Value.
func (t typedFlag) Set(s string) error {
	switch name := t.flag.Name; {
	case t.flag.Many:
		t.to[name] = append(t.to[name], s)
	case s == "": // as if it were not given
		delete(t.to, name)
	default:
		t.to[name] = []string{s}
	}
	return nil
}

// Type implements pflag.Value.
func (t typedFlag) Type() string {
	if t.flag.Many {
		return "stringArray"
	}
	return "string"
}

// readJob reads flags and, if the first word names a file, the job file below them. Errors: *market.Error spec-…,
// bad-usage.
func readJob(flags spec.Flags, args []string, dash int) (spec.File, error) {
	words := args
	if dash >= 0 {
		words, flags["args"] = args[:dash], args[dash:]
	}
	var raw []byte
	name := ""
	if len(words) > 0 && isJobFile(words[0]) {
		name = words[0]
		var err error
		if raw, err = readSome(name, spec.MaxFileBytes+1); err != nil { // the parser refuses what is longer
			return spec.File{}, usage(err.Error(), "gpuai run --help")
		}
		words = words[1:]
	}
	switch {
	case len(words) > 1:
		return spec.File{}, usage("only one image, not "+strings.Join(words, " "), "put the command behind --")
	case len(words) == 1:
		flags["image"] = words
	}
	if name == "" {
		if !flags.Given("image") {
			return spec.File{}, usage("an image or a job file is needed", "gpuai run --help")
		}
		file, faults := spec.FromFlags(flags)
		return file, spec.AsError("", faults)
	}
	file, faults := spec.Merge(raw, flags)
	if len(faults) > 0 {
		return file, spec.AsError(name, faults)
	}
	file.Locate(filepath.Dir(name), flags.Given("in"), flags.Given("out"))
	return file, nil
}

// readSome reads at most so many bytes of a file.
func readSome(name string, bytes int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, bytes))
}

// atHome makes the local paths of a job absolute: they are remembered, and fetched from any folder.
func atHome(f spec.File) (spec.File, error) {
	abs := func(path string) (string, error) {
		if path == "" {
			return "", nil
		}
		p, err := filepath.Abs(path)
		if strings.HasSuffix(path, "/") && p != "/" {
			p += "/"
		}
		return p, err
	}
	var errs []error
	f.Inputs, f.Outputs = slices.Clone(f.Inputs), slices.Clone(f.Outputs)
	for i := range f.Inputs {
		path, err := abs(f.Inputs[i].From)
		f.Inputs[i].From, errs = path, append(errs, err)
	}
	for i := range f.Outputs {
		path, err := abs(f.Outputs[i].To)
		f.Outputs[i].To, errs = path, append(errs, err)
	}
	return f, errors.Join(errs...)
}

// isJobFile tells job files from images: an image name cannot end like that and exist as a file.
func isJobFile(s string) bool {
	for _, end := range []string{".yaml", ".yml", ".json"} {
		if strings.HasSuffix(s, end) {
			return true
		}
	}
	return false
}

// request is what the API takes: the job with the defaults of the settings. left: what of its inputs cannot travel.
func request(f spec.File, c config.Config, o runOptions) (r api.OrderRequest, left spec.Manifest, err error) {
	l := &f.Limits
	l.MaxTotal = cmp.Or(l.MaxTotal, market.Amount(c.Customer.MaxTotal))
	if l.Away == 0 && !o.job.Given("away") {
		l.Away = time.Duration(c.Customer.Away)
	}
	if l.MaxTotal == 0 {
		return r, left, usage("this order has no cap",
			"add --max-total 0.02 (SOL), or: gpuai config set customer.max_total=0.02")
	}
	r = api.OrderRequest{Key: rand.Text(), KeepChannel: o.keep || c.Customer.KeepChannel}
	if r.Job, err = atHome(f); err != nil {
		return r, left, fmt.Errorf("find folder: %w", err)
	}
	r.InputBytes, left, err = spec.Measure(f.Inputs)
	return r, left, err
}

// runReport is the document of --status-file: what became of a gpuai run, with our problem if it was one.
type runReport struct {
	Schema  string        `json:"schema"`
	Order   *api.Order    `json:"order,omitempty"`
	Problem *rest.Problem `json:"problem,omitempty"`
	// Logs is how much of the job's output reached this computer; absent where no job ran.
	Logs *api.LogState `json:"logs,omitempty"`
	Exit int           `json:"exit"`
	// LeftOut are inputs that this command did not send; the order's left_out are those that were lost later, and
	// outputs.
	LeftOut     []api.LeftOut `json:"left_out,omitempty"`
	LeftOutMore int           `json:"left_out_more,omitempty"`
}

func (a *App) run(ctx context.Context, o runOptions, args []string, dash int) error {
	report := runReport{Schema: "gpuai.run/v1"}
	err := a.runJob(ctx, o, args, dash, &report)
	if o.statusFile == "" {
		return err
	}
	report.Problem, report.Exit = a.judge(err)
	if report.Order != nil {
		report.Logs = report.Order.Logs
	}
	if e := writeStatus(o.statusFile, report); e != nil {
		return errors.Join(err, attached{e})
	}
	return err
}

func (a *App) runJob(ctx context.Context, o runOptions, args []string, dash int, report *runReport) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	if err := a.wholeIDs(ctx, o.job); err != nil {
		return err
	}
	f, err := readJob(o.job, args, dash)
	if err != nil {
		return err
	}
	r, left, err := request(f, l.Config, o)
	if err != nil {
		return err
	}
	report.LeftOut, report.LeftOutMore = a.unsent(left)
	c, err := a.running(ctx)
	if err != nil {
		return err
	}
	p, err := c.Plan(ctx, r)
	if err != nil {
		return err
	}
	if o.dry {
		return a.dryRun(ctx, c, p)
	}
	if !a.mute && len(p.Candidates) > 0 {
		a.planLines(p, or(a.network, l.Node.Network))
	}
	if !p.Feasible {
		if err := a.refused(ctx, c, p); !a.mayCome(p, err) {
			return err
		}
	}
	if err := a.confirm("go on?"); err != nil {
		return err
	}
	a.unread()
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt) // from here on something may be left behind
	defer signal.Stop(interrupts)
	order, err := a.place(ctx, c, r, f, interrupts)
	if order.ID != "" {
		report.Order = &order
	}
	if err != nil {
		return a.overtime(err, &order)
	}
	if !o.detach {
		a.say("%-9s %s", "order", called(order))
	}
	if o.detach {
		a.say("stop it: gpuai stop %s · follow: gpuai logs -f %s", word(order), word(order))
		if len(f.Outputs) > 0 {
			a.say("its outputs stay with the node: gpuai outputs %s", word(order))
		}
		if a.json {
			return a.print("order", order, nil)
		}
		_, err := fmt.Fprintln(a.out, order.ID)
		return err
	}
	err = a.overtime(a.follow(ctx, c, &order, f, o.allow, interrupts), &order)
	if n := len(report.LeftOut) + report.LeftOutMore; err == nil && n > 0 && !o.allow {
		return attached{leftOutError(market.CodeInputLeftOut,
			count(n, "input was", "inputs were")+" left out, see above",
			order)}
	}
	return err
}

// place creates the order and sends its inputs. A first Ctrl-C ends the sending and stops the order once the node has
// said its id, a second one ends the wait for that.
func (a *App) place(ctx context.Context, c *api.Client, r api.OrderRequest, f spec.File,
	interrupts <-chan os.Signal) (api.Order, error) {
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	sending, cancel := context.WithCancel(asking)
	defer cancel()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, act := range []context.CancelFunc{cancel, giveUp} {
			select {
			case <-interrupts:
				act()
			case <-done:
				return
			}
		}
	})
	order, err := c.CreateOrder(asking, r)
	if err == nil && len(f.Inputs) > 0 {
		if err = sendInputs(sending, c, order.ID, f.Inputs); err != nil {
			err = fmt.Errorf("send inputs: %w", err)
		}
	}
	close(done)
	wg.Wait() // a Ctrl-C counts until here
	if order.ID == "" || sending.Err() == nil {
		return order, err
	}
	a.say("stopping %s", called(order))
	stopping, end := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer end()
	// without its inputs it is no order yet
	if err := c.StopOrder(stopping, order.ID, false); err != nil && market.CodeOf(err) != market.CodeNotFound {
		return order, err
	}
	return order, sending.Err()
}

func (a *App) dryRun(ctx context.Context, c *api.Client, p api.Plan) error {
	err := a.print("plan", p, func(t *Table) {
		t.Row("image", p.Image)
		for _, c := range p.Candidates {
			t.Row("fits", short(c.Provider), c.Class, c.Rate.String(), "up to "+c.Total.String()+overRelay(c))
		}
		for _, r := range p.Rejections {
			t.Row("does not fit", or(short(r.Provider), "-"), r.Code, r.Detail)
		}
		planRows(t, p)
	})
	if err == nil && !p.Feasible {
		return a.refused(ctx, c, p)
	}
	return err
}
