package rest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// Problem is the one error document (RFC 9457 with our fields). Code is kebab-case and never renamed; Why at most 400
// bytes.
type Problem struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Code       string            `json:"code"`
	Why        string            `json:"why,omitempty"`
	Fix        []Fix             `json:"fix"`
	Fault      string            `json:"fault"` // you, provider, customer, network, engine, node, chain, none
	Retryable  bool              `json:"retryable"`
	RetryAfter int64             `json:"retry_after_s,omitempty"`
	Details    map[string]string `json:"details,omitempty"`
}

// Fix is a next step: a command that parses, or text.
type Fix struct {
	Text    string `json:"text,omitempty"`
	Command string `json:"command,omitempty"`
}

const maxWhy = 400

// Exit is the command line's exit code for this problem.
func (p Problem) Exit() int { return rowOf(p.Code, p.Status).exit }

// Error implements error, for huma.
func (p *Problem) Error() string { return p.Code + ": " + p.Why }

// GetStatus is what huma answers with.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the one of problems, RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders are those that go with it.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	return h
}

// Err is the problem as the error that a caller of the node itself would have got.
func (p Problem) Err() error {
	e := &market.Error{Code: p.Code, Detail: p.Why, Kind: market.KindInternal, Op: p.Title}
	for kind, r := range kinds {
		if r.status == p.Status {
			e.Kind = kind
		}
	}
	if e.Kind == market.KindInternal && p.Status >= 400 && p.Status < 500 {
		e.Kind = market.KindInvalid
	}
	if len(p.Fix) > 0 {
		e.Hint = p.Fix[0].Text + p.Fix[0].Command
	}
	return e
}

// withStatus gives an error an HTTP status of its own: HTTP's rules know more of them than we have codes.
type withStatus struct {
	cause  *market.Error
	status int
	after  int64 // seconds until a retry may help
}

func (e *withStatus) Error() string { return e.cause.Error() }
func (e *withStatus) Unwrap() error { return e.cause }

// Usage is the error of a request that HTTP itself finds wrong.
func Usage(status int, detail string) error {
	return &withStatus{cause: &market.Error{Code: "bad-usage", Kind: market.KindInvalid, Op: "read request",
		Detail: detail, Hint: "see docs/reference/api.md"}, status: status}
}

// WriteProblem answers with the problem of an error.
func WriteProblem(w http.ResponseWriter, err error) {
	p := ProblemOf(err)
	w.Header().Set("Content-Type", p.ContentType(""))
	maps.Copy(w.Header(), p.GetHeaders())
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone if this fails
}

// row is what a code means outside the node.
type row struct {
	status, exit int
	fault, title string
}

// codes that have a meaning of their own; others follow the error's kind.
var codes = map[string]row{
	"bad-usage":            {400, 2, "you", "the command or request is wrong"},
	"config-invalid":       {422, 2, "you", "the configuration is wrong"},
	"unknown-network":      {422, 2, "you", "no such network"},
	"network-off":          {403, 4, "you", "this network is off"},
	"not-found":            {404, 3, "you", "there is no such thing"},
	"not-allowed":          {403, 4, "you", "this is not allowed"},
	"data-dir-open":        {403, 4, "you", "the data folder is open to others"},
	"no-offer-fits":        {409, 5, "none", "no offer fits"},
	"quote-refused":        {409, 5, "provider", "no provider gave a quote that can be used"},
	"funds-short":          {402, 6, "you", "the spending account has too little"},
	"spend-cap":            {402, 6, "you", "a spending cap is reached"},
	"cap-too-small":        {402, 6, "you", "the cap pays for no work"},
	"cap-reached":          {402, 6, "you", "the order's cap is used up"},
	"voucher-unredeemable": {402, 6, "chain", "a voucher would not be redeemed"},
	"timeout":              {504, 7, "network", "it took too long"},
	"node-unreachable":     {503, 8, "node", "no node answers"},
	"chain-unreachable":    {503, 8, "chain", "the ledger does not answer"},
	"key-reused":           {409, 1, "you", "this idempotency key belongs to another request"},
	"too-large":            {413, 2, "you", "what was sent is larger than allowed"},
	"channel-closing":      {409, 1, "none", "the channel is closing"},
	"transaction-pending":  {409, 1, "chain", "a transaction is still on its way"},
	"needs-checkout":       {409, 1, "you", "this needs a checkout of the source"},
	"image-denied":         {403, 4, "you", "the registry wants a login for this image"},
	"image-not-found":      {404, 3, "you", "there is no such image"},
	"version-mismatch":     {426, 10, "you", "versions do not fit together"},
	"internal":             {500, 1, "node", "an internal error"},
	"wrong-ledger":         {409, 1, "you", "the ledger belongs to another network"},
	"paused":               {409, 1, "none", "the job is paused"},
	"interrupted":          {499, 130, "you", "interrupted"},
	"node-running":         {409, 1, "you", "a node is running already"},
	"role-off":             {409, 1, "you", "the node does not have this role"},
	"lease-live":           {409, 1, "none", "a job still needs it"},
	"airdrop-refused":      {503, 1, "chain", "the faucet gave nothing"},
	"not-confirmed":        {409, 1, "you", "not confirmed"},
	"needs-systemd":        {409, 1, "you", "this needs systemd"},
	"install-failed":       {409, 1, "you", "the installation did not end"},
	"needs-build":          {409, 1, "you", "this binary lacks a part"},
	"peer-unreachable":     {503, 8, "provider", "the other node does not answer"},
	"provider-silent":      {503, 8, "provider", "the provider has gone silent"},
	"peer-failed":          {503, 8, "provider", "the other node failed"},
	"transaction-failed":   {409, 1, "chain", "the ledger refused a transaction"},
	"not-ready":            {409, 1, "none", "the job does not run yet"},
	"job-ended":            {409, 1, "none", "the job has ended"},
	"store-dead":           {503, 1, "node", "the node's state cannot be written"},
	"data-dir-unusable":    {403, 4, "you", "the data folder cannot be used"},
	"keypair-invalid":      {422, 2, "you", "a key file is wrong"},
	"disk-full":            {503, 1, "you", "the disk is full"},
	"file-error":           {409, 1, "you", "a file cannot be read or written"},
	"output-missing":       {409, 1, "you", "a declared output is missing"},
	"output-left-out":      {409, 1, "you", "some outputs were left out"},
	"input-left-out":       {409, 1, "you", "some inputs were left out"},
	"outputs-dropped":      {410, 1, "node", "the outputs are gone"},
	"connection-cut":       {503, 8, "network", "the connection was cut"},
}

var kinds = map[market.Kind]row{
	market.KindInvalid:     {422, 2, "you", "the request is wrong"},
	market.KindNotFound:    {404, 3, "you", "there is no such thing"},
	market.KindConflict:    {409, 1, "none", "not possible now"},
	market.KindUnavailable: {503, 8, "network", "not reachable now"},
	market.KindDenied:      {403, 4, "none", "refused"},
	market.KindExpired:     {410, 1, "none", "expired"},
}

func rowOf(code string, status int) row {
	if r, ok := codes[code]; ok {
		return r
	}
	for _, r := range kinds {
		if r.status == status {
			return r
		}
	}
	return codes["internal"]
}

// ProblemOf maps any error to its problem; what carries no code is internal, and its text stays in the node's log.
func ProblemOf(err error) (p Problem) {
	var e *market.Error
	var refusal *market.Refusal
	if err != nil && market.CodeOf(err) == "" {
		err = foreign(err)
	}
	code, kind, why, hint := market.CodeOf(err), market.KindInternal, "", ""
	p.Fix = []Fix{}
	if errors.As(err, &refusal) {
		kind, why = refusal.Kind, refusal.Detail
		if code == "internal" { // the other node's fault, not ours
			code, kind, why, hint = "peer-failed", market.KindUnavailable, "it keeps to itself what failed",
				"try again, or another provider: gpuai run --exclude ID"
		}
		p.RetryAfter = int64(refusal.RetryAfter.Seconds())
	}
	if errors.As(err, &e) && refusal == nil {
		for e.Code == "" { // CodeOf found one further down, or there is none
			var next *market.Error
			if !errors.As(e.Err, &next) {
				break
			}
			e = next
		}
		kind, why, hint = e.Kind, e.Detail, e.Hint
		if why == "" && e.Err != nil {
			why = e.Err.Error()
		}
	}
	if code == "" {
		code, why, hint = "internal", "", "see node.log in the node's data folder"
	}
	r, known := codes[code]
	if !known {
		r = kinds[kind]
		if r.status == 0 {
			r = codes["internal"]
		}
		r.title = strings.ReplaceAll(strings.TrimPrefix(code, "spec-"), "-", " ")
		if strings.HasPrefix(code, "spec-") {
			r.title = "the job is wrong: " + r.title
		}
	}
	if hint != "" {
		p.Fix = append(p.Fix, FixOf(hint))
	}
	p.Type, p.Title, p.Status, p.Code, p.Why = "urn:gpuai:error:"+code, r.title, r.status, code, cut(why)
	var s *withStatus
	if errors.As(err, &s) {
		p.Status, p.RetryAfter = s.status, s.after
	}
	p.Fault, p.Retryable = r.fault, kind == market.KindUnavailable || p.RetryAfter > 0
	return p
}

// FixOf tells commands from advice.
func FixOf(hint string) Fix {
	for _, word := range []string{"gpuai ", "sudo ", "chmod "} {
		if strings.HasPrefix(hint, word) && !strings.Contains(hint, "; ") {
			return Fix{Command: hint}
		}
	}
	return Fix{Text: hint}
}

func cut(s string) string {
	if len(s) <= maxWhy {
		return s
	}
	return strings.ToValidUTF8(s[:maxWhy-3], "") + "…"
}
