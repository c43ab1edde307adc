package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"
)

// A lock that is held over an fsync, a network call or a call of the engine makes everybody wait who only wants to
// look. The finder follows calls through the whole module: direct ones, those through interfaces of ours to each type
// that implements them, and functions that are passed to be called at once. It does not see calls of function values
// that are kept, nor locks that a helper takes and leaves taken.

// slowCall names what takes long in itself: the kind, or "".
func slowCall(f *types.Func, recv types.Type) string {
	pkg, name := "", f.Name()
	if f.Pkg() != nil {
		pkg = f.Pkg().Path()
	}
	owner := ""
	if recv != nil {
		if n, ok := deref(recv).(*types.Named); ok && n.Obj().Pkg() != nil {
			owner = n.Obj().Name()
			pkg = n.Obj().Pkg().Path()
		}
	}
	switch is := func(names ...string) bool { return slices.Contains(names, name) }; {
	case pkg == module+"node/store" && owner == "Store" && name == "Commit", pkg == "os" && owner == "File" &&
		name == "Sync",
		pkg == "go.etcd.io/bbolt" && is("Update", "Batch", "Sync"):
		return "fsync"
	case strings.HasPrefix(pkg, "github.com/docker/docker/client") && owner != "" && !is("Close", "DaemonHost"):
		return "engine"
	case pkg == "net" && (is("Dial", "DialTimeout", "DialContext") || strings.HasPrefix(name, "Lookup") ||
		owner == "Conn" && is("Read", "Write")),
		pkg == "net/http" && (is("Do", "Get", "Post", "Head", "PostForm", "RoundTrip") && owner != "Header"),
		strings.HasPrefix(pkg, "github.com/libp2p/") && (owner == "Stream" && is("Read", "Write") ||
			is("NewStream", "Connect")),
		pkg == "github.com/gorilla/websocket" && owner == "Conn" && (strings.HasPrefix(name, "Read") ||
			strings.HasPrefix(name, "Write")):
		return "network"
	}
	return ""
}

func deref(t types.Type) types.Type {
	if p, ok := t.(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// later are functions that do not call what they are given before they return.
var later = map[string]bool{"Go": true, "AfterFunc": true, "OnceFunc": true, "OnceValue": true, "OnceValues": true,
	"Handle": true, "HandleFunc": true, "SetStreamHandler": true, "Cleanup": true}

// finder knows which functions take long, and why.
type finder struct {
	pkgs   []*checked
	bodies map[*types.Func]*body
	impls  map[method][]*types.Func // of interfaces of ours
	slow   map[*types.Func]reason
}

type body struct {
	pkg  *checked
	decl *ast.FuncDecl
}

// method is one of an interface.
type method struct {
	of   *types.TypeName
	name string
}

// reason is what a slow function ends in, and the way there.
type reason struct{ kind, via string }

func newFinder(pkgs []*checked) *finder {
	f := &finder{pkgs: pkgs, bodies: map[*types.Func]*body{}, impls: map[method][]*types.Func{},
		slow: map[*types.Func]reason{}}
	for _, c := range pkgs {
		for _, file := range c.files {
			for _, d := range file.Decls {
				if fd, ok := d.(*ast.FuncDecl); ok && fd.Body != nil {
					f.bodies[c.info.Defs[fd.Name].(*types.Func)] = &body{c, fd}
				}
			}
		}
	}
	f.implementations()
	for more := true; more; {
		more = false
		for fn, b := range f.bodies {
			if _, known := f.slow[fn]; known {
				continue
			}
			ast.Inspect(b.decl.Body, func(n ast.Node) bool {
				if _, known := f.slow[fn]; known || !runsHere(n) {
					return false
				}
				if call, ok := n.(*ast.CallExpr); ok {
					if r, slow := f.takesLong(b.pkg, call); slow {
						f.slow[fn], more = r, true
					}
				}
				return true
			})
		}
	}
	return f
}

// runsHere is false for what does not run before its function returns.
func runsHere(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt, *ast.FuncLit:
		return false
	case *ast.CallExpr:
		return !later[calledName(n)]
	}
	return true
}

func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// implementations finds, for each method of an interface of ours, the methods behind it.
func (f *finder) implementations() {
	var named []*types.Named
	for _, c := range f.pkgs {
		for _, name := range c.types.Scope().Names() {
			if tn, ok := c.types.Scope().Lookup(name).(*types.TypeName); ok && !tn.IsAlias() {
				if n, ok := tn.Type().(*types.Named); ok && n.TypeParams().Len() == 0 {
					named = append(named, n)
				}
			}
		}
	}
	for _, i := range named {
		it, ok := i.Underlying().(*types.Interface)
		if !ok {
			continue
		}
		for _, n := range named {
			p := types.NewPointer(n)
			if types.IsInterface(n) || !types.Implements(p, it) {
				continue
			}
			for m := range it.Methods() {
				if obj, _, _ := types.LookupFieldOrMethod(p, true, m.Pkg(), m.Name()); obj != nil {
					if impl, ok := obj.(*types.Func); ok {
						at := method{i.Obj(), m.Name()}
						f.impls[at] = append(f.impls[at], impl)
					}
				}
			}
		}
	}
}

// takesLong says why a call takes long.
func (f *finder) takesLong(c *checked, call *ast.CallExpr) (reason, bool) {
	fn, recv := callee(c.info, call)
	if fn == nil {
		return reason{}, false
	}
	if kind := slowCall(fn, recv); kind != "" {
		return reason{kind, funcName(fn)}, true
	}
	behind := []*types.Func{fn.Origin()}
	if n, ok := recv.(*types.Named); ok {
		behind = append(behind, f.impls[method{n.Obj(), fn.Name()}]...)
	}
	for _, impl := range behind {
		if r, ok := f.slow[impl]; ok {
			return reason{r.kind, funcName(impl) + " > " + r.via}, true
		}
	}
	sig := fn.Signature() // a reader or a writer that is a connection
	for i, arg := range call.Args {
		if i < sig.Params().Len() && isIO(sig.Params().At(i).Type()) && isConn(c.info.TypeOf(arg)) {
			return reason{"network", funcName(fn)}, true
		}
	}
	return reason{}, false
}

func isIO(t types.Type) bool {
	n, ok := t.(*types.Named)
	return ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "io"
}

func isConn(t types.Type) bool {
	n, ok := t.(*types.Named)
	return ok && n.Obj().Pkg() != nil && (n.Obj().Pkg().Path() == "net" && n.Obj().Name() == "Conn" ||
		strings.HasPrefix(n.Obj().Pkg().Path(), "github.com/libp2p/") && n.Obj().Name() == "Stream")
}

func callee(info *types.Info, call *ast.CallExpr) (fn *types.Func, recv types.Type) {
	fun := ast.Unparen(call.Fun)
	if x, ok := fun.(*ast.IndexExpr); ok {
		fun = x.X
	}
	switch fun := fun.(type) {
	case *ast.Ident:
		fn, _ = info.Uses[fun].(*types.Func)
	case *ast.SelectorExpr:
		if sel := info.Selections[fun]; sel != nil {
			fn, _ = sel.Obj().(*types.Func)
			if fn != nil && fn.Signature().Recv() != nil && !types.IsInterface(sel.Recv()) {
				return fn, fn.Signature().Recv().Type()
			}
			return fn, sel.Recv()
		}
		fn, _ = info.Uses[fun.Sel].(*types.Func)
	}
	return fn, nil
}

// findings are the places where a lock is held over something slow.
func (f *finder) findings() map[string]string {
	out := map[string]string{}
	for fn, b := range f.bodies {
		if strings.HasSuffix(b.pkg.path, "test") { // test support waits as it likes
			continue
		}
		w := &walker{f: f, c: b.pkg, name: b.pkg.path + "." + strings.TrimPrefix(funcName(fn), "*"), out: out}
		w.block(b.decl.Body.List, held{})
		for len(w.apart) > 0 { // functions that run at another time hold nothing of this one
			lit := w.apart[0]
			w.apart = w.apart[1:]
			w.block(lit.Body.List, held{})
		}
	}
	return out
}

// held are the locks that may be held: how they are written.
type held map[string]bool

// walker follows one function in the order of its statements.
type walker struct {
	f     *finder
	c     *checked
	name  string
	out   map[string]string
	apart []*ast.FuncLit
}

// block returns what may be held behind the statements, and whether nothing comes behind them.
func (w *walker) block(list []ast.Stmt, h held) (held, bool) {
	for _, s := range list {
		var ends bool
		if h, ends = w.stmt(s, h); ends {
			return h, true
		}
	}
	return h, false
}

func (w *walker) stmt(s ast.Stmt, h held) (held, bool) {
	switch s := s.(type) {
	case *ast.BlockStmt:
		return w.block(s.List, h)
	case *ast.LabeledStmt:
		return w.stmt(s.Stmt, h)
	case *ast.ReturnStmt:
		w.exprs(s, h)
		return h, true
	case *ast.BranchStmt:
		return h, true
	case *ast.DeferStmt:
		for _, a := range s.Call.Args {
			w.exprs(a, h)
		}
		if lit, ok := s.Call.Fun.(*ast.FuncLit); ok {
			w.apart = append(w.apart, lit)
		}
		return h, false
	case *ast.GoStmt:
		if lit, ok := s.Call.Fun.(*ast.FuncLit); ok {
			w.apart = append(w.apart, lit)
		}
		return h, false
	case *ast.IfStmt:
		if s.Init != nil {
			h, _ = w.stmt(s.Init, h)
		}
		h = w.exprs(s.Cond, h)
		branches := []branch{w.branch(s.Body.List, h)}
		if s.Else != nil {
			branches = append(branches, w.branch([]ast.Stmt{s.Else}, h))
		} else {
			branches = append(branches, branch{h, false})
		}
		return join(h, branches)
	case *ast.ForStmt:
		if s.Init != nil {
			h, _ = w.stmt(s.Init, h)
		}
		if s.Cond != nil {
			h = w.exprs(s.Cond, h)
		}
		return w.loop(s.Body.List, h, s.Cond == nil && !breaks(s.Body))
	case *ast.RangeStmt:
		return w.loop(s.Body.List, w.exprs(s.X, h), false)
	case *ast.SwitchStmt:
		if s.Init != nil {
			h, _ = w.stmt(s.Init, h)
		}
		if s.Tag != nil {
			h = w.exprs(s.Tag, h)
		}
		return w.clauses(s.Body, h)
	case *ast.TypeSwitchStmt:
		return w.clauses(s.Body, h)
	case *ast.SelectStmt:
		return w.clauses(s.Body, h)
	}
	return w.exprs(s, h), false
}

type branch struct {
	h    held
	ends bool
}

func (w *walker) branch(list []ast.Stmt, h held) branch {
	out, ends := w.block(list, maps.Clone(h))
	return branch{out, ends}
}

func join(h held, all []branch) (held, bool) {
	out, ends := held{}, true
	for _, b := range all {
		if !b.ends {
			maps.Copy(out, b.h)
			ends = false
		}
	}
	if ends {
		return h, true
	}
	return out, false
}

func (w *walker) loop(list []ast.Stmt, h held, forever bool) (held, bool) {
	once, _ := w.block(list, maps.Clone(h))
	maps.Copy(once, h)
	w.block(list, maps.Clone(once)) // what one round leaves held, the next one begins with
	return h, forever
}

func breaks(b *ast.BlockStmt) (yes bool) {
	ast.Inspect(b, func(n ast.Node) bool {
		if br, ok := n.(*ast.BranchStmt); ok && br.Tok == token.BREAK {
			yes = true
		}
		return !yes
	})
	return yes
}

func (w *walker) clauses(b *ast.BlockStmt, h held) (held, bool) {
	var all []branch
	whole := false
	for _, s := range b.List {
		switch c := s.(type) {
		case *ast.CaseClause:
			for _, e := range c.List {
				w.exprs(e, h)
			}
			whole = whole || c.List == nil
			all = append(all, w.branch(c.Body, h))
		case *ast.CommClause:
			whole = true
			list := c.Body
			if c.Comm != nil {
				list = append([]ast.Stmt{c.Comm}, list...)
			}
			all = append(all, w.branch(list, h))
		}
	}
	for i := range all {
		all[i].ends = all[i].ends && !leavesByBreak(b.List[i])
	}
	if !whole {
		all = append(all, branch{h, false})
	}
	return join(h, all)
}

// leavesByBreak: a clause that ends with break goes on behind its switch.
func leavesByBreak(s ast.Stmt) bool {
	var body []ast.Stmt
	switch c := s.(type) {
	case *ast.CaseClause:
		body = c.Body
	case *ast.CommClause:
		body = c.Body
	}
	if len(body) == 0 {
		return false
	}
	br, ok := body[len(body)-1].(*ast.BranchStmt)
	return ok && br.Tok == token.BREAK && br.Label == nil
}

// exprs follows the calls in a node, inner ones first.
func (w *walker) exprs(n ast.Node, h held) held {
	if n == nil {
		return h
	}
	var calls []*ast.CallExpr
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			w.apart = append(w.apart, n)
			return false
		case *ast.CallExpr:
			calls = append(calls, n)
			if lit, ok := n.Fun.(*ast.FuncLit); ok {
				h, _ = w.block(lit.Body.List, h)
			}
			for _, a := range n.Args {
				if lit, ok := a.(*ast.FuncLit); ok && len(h) > 0 && !later[calledName(n)] {
					w.block(lit.Body.List, maps.Clone(h))
				}
			}
		}
		return true
	})
	for _, call := range slices.Backward(calls) {
		h = w.call(call, h)
	}
	return h
}

func (w *walker) call(call *ast.CallExpr, h held) held {
	fn, _ := callee(w.c.info, call)
	if fn != nil && fn.Pkg() != nil && fn.Pkg().Path() == "sync" {
		sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
		if !ok {
			return h
		}
		h = maps.Clone(h)
		switch fn.Name() {
		case "Lock", "RLock":
			h[types.ExprString(sel.X)] = true
		case "Unlock", "RUnlock":
			delete(h, types.ExprString(sel.X))
		}
		return h
	}
	if len(h) == 0 {
		return h
	}
	if r, slow := w.f.takesLong(w.c, call); slow {
		for lock := range h {
			w.out[fmt.Sprintf("%s %s %s", w.name, lock, r.kind)] = r.via
		}
	}
	return h
}

// heldOver are the locks of today that are held over something slow: function, lock and kind, or for what a coming part
// mends, package, lock and kind. Each has its reason, or what will end it.
var heldOver = map[string]string{
	"p2p/streams.session.send v.sendMu network":     "the turn of who writes: messages of one stream do not mix",
	"p2p/streams.FrameConn.writeFrame c.wm network": "the turn of who writes: frames of one stream do not mix",
	"p2p/streams.Service.serveMove t.c.wm network":  "the same: the next frame is the new stream's first",
	"runtime/docker.execStream.frame s.mu network":  "the turn of who writes: frames of one exec do not mix",
	"node/backend/control.Panel.PatchConfig p.changing fsync": "the turn of who changes the settings; nobody else " +
		"takes it",
	"node/api.control.patch s.patching network": "the turn of who changes: If-Match compares what is changed",
	"node/api.selling.patch s.patching network": "the same; in a node the backend is no client",
	"node/joblog.Log.Finish l.mu fsync":         "once, when the log is over: only its own readers wait",
}

// allowed is the key of heldOver that a finding falls under, "" for none.
func allowed(finding string) string {
	name, rest, _ := strings.Cut(finding, " ")
	pkg := name[:strings.LastIndex(name, "/")+1]
	last, _, _ := strings.Cut(name[len(pkg):], ".")
	for _, key := range []string{finding, pkg + last + " " + rest} {
		if heldOver[key] != "" {
			return key
		}
	}
	return ""
}

func TestLocks_NoneIsHeldOverSomethingSlow(t *testing.T) {
	t.Parallel()
	f := newFinder(productOf(t).pkgs)
	if len(f.slow) < 100 || len(f.impls) < 50 {
		t.Fatalf("%d slow functions, %d methods of interfaces", len(f.slow), len(f.impls))
	}
	found, used := f.findings(), map[string]bool{}
	for _, finding := range slices.Sorted(maps.Keys(found)) {
		key := allowed(finding)
		if used[key] = true; key == "" {
			t.Errorf("%q: held over %s", finding, found[finding])
		}
	}
	for key := range heldOver {
		if !used[key] {
			t.Errorf("%q is not held over anything slow any more: delete its line in heldOver", key)
		}
	}
}

// TestLocks_Fixtures gives the finder one function of each kind that breaks the rule, and its like that does not.
func TestLocks_Fixtures(t *testing.T) {
	t.Parallel()
	const head = `package x
import ("net"; "net/http"; "os"; "sync"; "io")
type T struct { mu sync.Mutex; rw sync.RWMutex; f *os.File; c net.Conn; s Syncer; wg sync.WaitGroup }
type Syncer interface { Do() error }
type real struct { f *os.File }
func (r *real) Do() error { return r.f.Sync() }
func (t *T) deep() error { return t.deeper() }
func (t *T) deeper() error { return t.f.Sync() }
func each(f func()) { f() }
func write(w io.Writer) {}
var _ = http.Get
`
	p := productOf(t)
	for text, want := range map[string]string{
		"t.mu.Lock(); t.f.Sync(); t.mu.Unlock()":                                           "t.mu fsync",
		"t.mu.Lock(); t.mu.Unlock(); t.f.Sync()":                                           "",
		"t.mu.Lock(); defer t.mu.Unlock(); t.deep()":                                       "t.mu fsync",
		"t.rw.RLock(); defer t.rw.RUnlock(); http.Get(``)":                                 "t.rw network",
		"t.mu.Lock(); t.s.Do(); t.mu.Unlock()":                                             "t.mu fsync",
		"t.mu.Lock(); t.c.Read(nil); t.mu.Unlock()":                                        "t.mu network",
		"t.mu.Lock(); write(t.c); t.mu.Unlock()":                                           "t.mu network",
		"t.mu.Lock(); if t.f == nil { t.mu.Unlock(); t.deep(); return }; t.mu.Unlock()":    "",
		"t.mu.Lock(); if t.f == nil { t.mu.Unlock() }; t.deep()":                           "t.mu fsync",
		"t.mu.Lock(); switch { case t.f == nil: t.mu.Unlock(); return }; t.deep()":         "t.mu fsync",
		"for { t.deep(); t.mu.Lock() }":                                                    "t.mu fsync",
		"for { t.deep(); t.mu.Lock(); t.mu.Unlock() }":                                     "",
		"t.mu.Lock(); t.wg.Go(func() { t.deep() }); t.mu.Unlock()":                         "",
		"t.mu.Lock(); each(func() { t.deep() }); t.mu.Unlock()":                            "t.mu fsync",
		"t.wg.Go(func() { t.mu.Lock(); t.deep() })":                                        "t.mu fsync",
		"t.mu.Lock(); defer func() { t.mu.Unlock() }(); go t.deep()":                       "",
		"select { case <-make(chan int): t.mu.Lock(); default: }; t.deep()":                "t.mu fsync",
		"t.mu.Lock(); for { if t.f == nil { break } }; t.mu.Unlock(); t.deep()":            "",
		"func() { t.mu.Lock(); defer t.mu.Unlock(); println() }(); println()":              "",
		"t.mu.Lock(); err := t.deep(); t.mu.Unlock(); _ = err":                             "t.mu fsync",
		"t.mu.Lock(); if err := t.deep(); err != nil { return }; t.mu.Unlock()":            "t.mu fsync",
		"t.mu.Lock(); f := func() { t.deep() }; t.mu.Unlock(); f()":                        "",
		"t.mu.Lock(); x := t.f; t.mu.Unlock(); for range 3 { x.Sync() }":                   "",
		"for range 3 { t.mu.Lock(); if t.f == nil { continue }; t.mu.Unlock() }; t.deep()": "",
	} {
		c := &checked{path: "x"}
		f, err := parser.ParseFile(p.fset, "x.go", head+"func (t *T) bad() { "+text+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		c.files = []*ast.File{f}
		if err := c.check(p.fset, nil, p.deps); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got := newFinder([]*checked{c}).findings()
		if want != "" {
			want = "x.T.bad " + want
		}
		if len(got) > 1 || len(got) == 1 && got[want] == "" || len(got) == 0 && want != "" {
			t.Errorf("%s: found %v, want %q", text, got, want)
		}
	}
}
