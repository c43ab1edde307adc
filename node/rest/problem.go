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

// Problem is the one error document (RFC 9457 with our fields). Type is "/docs/errors/commands.md#busy", the row of the
// code in the source tree, or "about:blank" for the code of a newer node. Why has at most 400 bytes.
type Problem struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Code       market.Code       `json:"code"`
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
func (p Problem) Exit() int { return rowOf(p.Code, kindOf(p.Status)).exit }

// Error implements error, for huma.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Why }

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
	e := &market.Error{Code: p.Code, Detail: p.Why, Kind: kindOf(p.Status), Op: p.Title}
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
	return &withStatus{cause: &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "read request",
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

// row is what an error means outside the node.
type row struct {
	status, exit int
	whose, title string
}

// kinds are for errors whose code has no status of its own.
var kinds = map[market.Kind]row{
	market.KindInternal:    {500, 1, "node", "an internal error"},
	market.KindInvalid:     {422, 2, "you", "the request is wrong"},
	market.KindNotFound:    {404, 3, "you", "there is no such thing"},
	market.KindConflict:    {409, 1, "none", "not possible now"},
	market.KindUnavailable: {503, 8, "network", "not reachable now"},
	market.KindDenied:      {403, 4, "none", "refused"},
	market.KindExpired:     {410, 1, "none", "expired"},
}

// rowOf is what code says of itself, and kind where it says nothing.
func rowOf(code market.Code, kind market.Kind) row {
	m, known := code.Meaning()
	r, ok := kinds[kind]
	switch {
	case m.Status != 0:
		r = row{m.Status, m.Exit, m.Whose, ""}
	case !ok:
		r = kinds[market.KindInternal]
	}
	if r.title = m.Title; !known {
		r.title = strings.ReplaceAll(string(code), "-", " ")
	}
	return r
}

// kindOf is the kind that answers with this HTTP status, else internal.
func kindOf(status int) market.Kind {
	for kind, r := range kinds {
		if r.status == status {
			return kind
		}
	}
	return market.KindInternal
}

// typeOf is the reference to what is known of a code: its row in docs, which a reader of the source can open.
func typeOf(code market.Code) string {
	if m, ok := code.Meaning(); ok {
		return "/" + m.Page()
	}
	return "about:blank"
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
		if code == market.CodeInternal { // the other node's fault, not ours
			code, kind, why, hint = market.CodePeerFailed, market.KindUnavailable, "it keeps to itself what failed",
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
		code, why, hint = market.CodeInternal, "", "see node.log in the node's data folder"
	}
	r := rowOf(code, kind)
	if hint != "" {
		p.Fix = append(p.Fix, FixOf(hint))
	}
	p.Type, p.Title, p.Status, p.Code, p.Why = typeOf(code), r.title, r.status, code, cut(why)
	var s *withStatus
	if errors.As(err, &s) {
		p.Status, p.RetryAfter = s.status, s.after
	}
	p.Fault, p.Retryable = r.whose, kind == market.KindUnavailable || p.RetryAfter > 0
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
