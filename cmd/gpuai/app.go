package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/rest"
)

// App is one invocation: its streams, its environment and the global flags.
type App struct {
	in       io.Reader
	out, err io.Writer
	env      []string

	system systemNode
	which  bool // it was said that the system's node is used

	network string // of the node that answers, once it did

	config, socket, api string
	sets                []string
	json, yes, no, mute bool
	color, progress     string
	timeout             time.Duration

	rateOnce sync.Once
	rate     config.ShowRate
	rated    bool

	screen    sync.Mutex // a job's output and our talk share it
	rest      [sourceNode + 1]cleaner
	transient bool // stderr's last line is to be erased
}

// Main runs one command line and returns the exit code.
func (a *App) Main(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return a.exit(root.ExecuteContext(ctx))
}

func newRoot(a *App) *cobra.Command {
	root := &cobra.Command{
		Use: "gpuai COMMAND [FLAGS]", DisableFlagsInUseLine: true, Short: "Rent and sell GPUs, peer to peer",
		SilenceErrors: true, SilenceUsage: true,
		Example: "  gpuai doctor\n  gpuai offers rtx-4090\n  gpuai run --gpu rtx-4090 --max-total 0.02 " +
			"pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime -- nvidia-smi",
	}
	root.SetFlagErrorFunc(flagFault)
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", "", "settings file")
	f.StringVar(&a.socket, "socket", "", "the node's socket")
	f.StringVar(&a.api, "api", "", "the node's api.listen instead, as http://127.0.0.1:7072; its token: api.token_file")
	f.StringArrayVar(&a.sets, "set", nil, "change a setting for this call: section.key=value")
	f.BoolVar(&a.json, "json", false, "print the API's document")
	f.BoolVarP(&a.yes, "yes", "y", false, "answer yes to every question")
	f.BoolVar(&a.no, "no-input", false, "never ask")
	f.BoolVarP(&a.mute, "quiet", "q", false, "no progress, no talk")
	f.StringVar(&a.color, "color", "auto", "auto, always or never; NO_COLOR and CLICOLOR_FORCE are obeyed")
	f.StringVar(&a.progress, "progress", "auto", "auto (redrawn on a terminal), plain or none")
	f.Var((*spanFlag)(&a.timeout), "timeout", "give up after, as in 90s; an order that was placed goes on")
	for _, c := range []func(*App) *cobra.Command{
		newNodeCmd, newStatusCmd, newDoctorCmd, newOffersCmd, newBookCmd, newWantsCmd, newRunCmd, newPsCmd, newShowCmd,
		newLogsCmd, newExecCmd,
		newStopCmd, newCapCmd, newOutputsCmd, newSpoolCmd,
		newReceiptCmd, newWalletCmd, newChannelCmd, newProviderCmd, newConfigCmd, newLocalnetCmd, newIndexerCmd,
		newDemoCmd,
		newNetCmd, newVersionCmd, newAgentCmd, newJobCmd, newJobFileTopic,
	} {
		root.AddCommand(c(a))
	}
	a.front(root)
	root.SetHelpCommand(newHelpCmd(a))
	root.SetUsageTemplate(usageText)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion") // cobra takes no command's name for a file's here
	grouped(root)
	a.finish(root)
	return root
}

// options are where this call's settings come from.
func (a *App) options() (config.Options, error) {
	o := config.Options{Path: a.config, Env: a.env, Flags: map[string]string{}}
	for _, s := range a.sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return o, usage("--set "+s+" has no =", "write --set section.key=value")
		}
		o.Flags[key] = value
	}
	if a.socket != "" {
		o.Flags["api.socket"] = a.socket
	}
	return o, nil
}

func (a *App) load() (config.Loaded, error) {
	o, err := a.options()
	if err != nil {
		return config.Loaded{}, err
	}
	return config.Load(o)
}

// confirm asks before something costs or ends; without a terminal only --yes goes on.
func (a *App) confirm(question string) error {
	if a.yes {
		return nil
	}
	if a.no || !terminal(a.in) {
		return usage("this needs a yes, and there is no terminal to ask on", "add --yes")
	}
	fmt.Fprint(a.err, question+" [y/N] ")
	var answer string
	if _, err := fmt.Fscanln(a.in, &answer); err != nil && answer == "" {
		answer = "n"
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return &market.Error{Code: market.CodeNotConfirmed, Kind: market.KindConflict, Op: "ask",
			Detail: "nothing was done",
			Hint:   "add --yes, or answer y"}
	}
	return nil
}

// print writes a document: as JSON, or by the given function as a table.
func (a *App) print(schema string, doc any, table func(*Table)) error {
	if a.json {
		b, err := withSchema(schema, doc)
		if err != nil {
			return err
		}
		_, err = a.out.Write(a.withRate(b))
		return err
	}
	t := &Table{}
	table(t)
	for _, r := range t.rows {
		for i, c := range r {
			r[i] = a.both(c)
		}
	}
	_, err := io.WriteString(a.out, t.Text(a.look(a.out)))
	return err
}

// withSchema puts the schema's name in front of a document that has none yet.
func withSchema(schema string, doc any) ([]byte, error) {
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	if s := string(fields["schema"]); s == "" || s == `""` {
		fields["schema"] = json.RawMessage(`"gpuai.` + schema + `/v1"`)
	}
	out, err := json.MarshalIndent(fields, "", "  ")
	return append(out, '\n'), err
}

func usage(detail, hint string) error {
	return &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "read command line", Detail: detail,
		Hint: hint}
}

// exitCode ends the process with a job's own code, without a word.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// attached is a failure of ours while a job's exit code was expected: 125, as of docker run.
type attached struct{ error }

func (e attached) Unwrap() error { return e.error }

const (
	exitAttached = 125
	exitMoney    = 6
)

// cut is an end of a job by something of ours, as its cap: it is told, and the job's own code stays.
type cut struct {
	error
	code int
}

func (e cut) Unwrap() error { return e.error }

// judge maps an error to its problem, nil if there is none of ours, and the process's exit code.
func (a *App) judge(err error) (*rest.Problem, int) {
	var code exitCode
	switch {
	case err == nil:
		return nil, 0
	case errors.As(err, &code):
		return nil, int(code)
	}
	var at attached
	inJob := errors.As(err, &at)
	switch {
	case errors.Is(err, context.Canceled):
		err, inJob = &market.Error{Code: market.CodeInterrupted, Kind: market.KindConflict, Err: err,
			Detail: "you stopped this command", Hint: "gpuai ps"}, false
	case errors.Is(err, context.DeadlineExceeded) && market.CodeOf(err) == "":
		err = &market.Error{Code: market.CodeTimeout, Kind: market.KindUnavailable, Op: "wait",
			Detail: fmt.Sprintf("not done within --timeout %s; what the node had begun goes on", a.timeout),
			Hint:   "gpuai ps"}
	}
	p := rest.ProblemOf(err)
	if p.Code == market.CodeInternal { // the text that the API keeps to itself: here it is our own
		p.Why, p.Fix = err.Error(), nil
	} else if len(p.Fix) == 0 {
		p.Fix = []rest.Fix{{Command: "gpuai help " + string(p.Code)}}
	}
	if c, ok := errors.AsType[cut](err); ok {
		return &p, c.code
	}
	if inJob && p.Exit() != exitMoney { // what a wallet or a cap lacks has one code everywhere
		return &p, exitAttached
	}
	return &p, p.Exit()
}

// exit prints an error and returns the process's exit code.
func (a *App) exit(err error) int {
	p, code := a.judge(err)
	a.erase()
	switch {
	case p == nil:
	case a.json:
		b, _ := json.Marshal(p) // strings and numbers only
		fmt.Fprintln(a.err, string(b))
	default:
		fmt.Fprintf(a.err, "%s: %s\n", a.paint(a.err, red, "error["+string(p.Code)+"]"), p.Title)
		if p.Why != "" {
			fmt.Fprintf(a.err, "  why: %s\n", strings.ReplaceAll(clean(p.Why), "\n", "\n       "))
		}
		for _, f := range p.Fix {
			fmt.Fprintf(a.err, "  fix: %s%s\n", f.Text, f.Command)
		}
	}
	return code
}
