package guard

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Limits of a lease's network. They protect the line and the name of whoever rents the rig out.
const (
	webRate, webBurst = 20, 100 // new connections per second
	anyRate           = 200
	dnsRate           = 100
	maxConns          = 8192
)

// One register is enough: every rule is a chain of load and compare.
const reg = 1

var inet = &nftables.Table{Family: nftables.TableFamilyINet, Name: "gpuai"}

func chainOut() *nftables.Chain { return filter("out", nftables.ChainHookOutput) }
func chainIn() *nftables.Chain  { return filter("in", nftables.ChainHookInput) }

func filter(name string, hook *nftables.ChainHook) *nftables.Chain {
	drop := nftables.ChainPolicyDrop
	return &nftables.Chain{
		Table: inet, Name: name, Hooknum: hook, Type: nftables.ChainTypeFilter, Policy: &drop,
		Priority: nftables.ChainPriorityFilter,
	}
}

// closeAll drops everything in both directions.
func closeAll(c *nftables.Conn) error {
	c.AddTable(inet)
	c.AddChain(chainOut())
	c.AddChain(chainIn())
	if err := c.Flush(); err != nil {
		return fmt.Errorf("close the network: %w", err)
	}
	return nil
}

// rules collects the rules of one chain.
type rules struct {
	c     *nftables.Conn
	chain *nftables.Chain
	n     int
}

func (r *rules) add(parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	r.c.AddRule(&nftables.Rule{Table: inet, Chain: r.chain, Exprs: all})
	r.n++
}

// apply adds the rules in one transaction and reads back that they are there.
func apply(c *nftables.Conn, cfg NetworkConfig) error {
	if len(cfg.Resolvers) == 0 || cfg.Egress != "web" && cfg.Egress != "any" {
		return fmt.Errorf("egress %q with %d resolvers", cfg.Egress, len(cfg.Resolvers))
	}
	for _, a := range cfg.Resolvers {
		if !a.Is4() {
			return fmt.Errorf("resolver %s is no IPv4 address", a)
		}
	}
	var sets []*rules
	chain := func(ch *nftables.Chain) *rules {
		r := &rules{c: c, chain: ch}
		sets = append(sets, r)
		return r
	}
	refuse := chain(c.AddChain(&nftables.Chain{Table: inet, Name: "refuse"}))
	refuse.add(counter(), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH,
		Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	natRules(chain(c.AddChain(&nftables.Chain{
		Table: inet, Name: "dns", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput,
		Priority: nftables.ChainPriorityRef(-110), // before the engine's own at -100
	})), cfg)
	outRules(chain(chainOut()), cfg)
	in := chain(chainIn())
	in.add(iface(expr.MetaKeyIIFNAME, "lo"), accept())
	in.add(established(), accept())
	tx := chain(c.AddChain(&nftables.Chain{
		Table: inet, Name: "tx", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityFilter,
	}))
	tx.add(notIface(expr.MetaKeyOIFNAME, "lo"), counter())
	rx := chain(c.AddChain(&nftables.Chain{
		Table: inet, Name: "rx", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting,
		Priority: nftables.ChainPriorityFilter,
	}))
	rx.add(notIface(expr.MetaKeyIIFNAME, "lo"), counter())
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set the network's rules: %w", err)
	}
	for _, s := range sets {
		got, err := c.GetRules(inet, s.chain)
		if err != nil || len(got) != s.n {
			return fmt.Errorf("read back chain %s: %d of %d rules: %w", s.chain.Name, len(got), s.n, err)
		}
	}
	return nil
}

// natRules sends names asked of any other server to the first resolver; images come with their own ideas.
func natRules(r *rules, cfg NetworkConfig) {
	for _, a := range cfg.Resolvers {
		r.add(daddr(netip.PrefixFrom(a, 32)), accept())
	}
	r.add(daddr(netip.MustParsePrefix("127.0.0.0/8")), accept())
	to := cfg.Resolvers[0].As4()
	for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		r.add(ipv4(), dport(proto, 53), []expr.Any{
			&expr.Immediate{Register: reg, Data: to[:]},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg},
		})
	}
}

func outRules(r *rules, cfg NetworkConfig) {
	// The engine's resolver also listens on a random port and leaks names of the rig's network.
	r.add(daddr(netip.MustParsePrefix("127.0.0.11/32")), drop())
	r.add(iface(expr.MetaKeyOIFNAME, "lo"), accept())
	r.add(ipv6(), drop())
	if cfg.UplinkMbit > 0 {
		bytes := uint64(cfg.UplinkMbit) * 1e6 / 8
		r.add([]expr.Any{&expr.Limit{
			Type: expr.LimitTypePktBytes, Rate: bytes, Unit: expr.LimitTimeSecond,
			Burst: uint32(min(max(bytes/4, 64<<10), 1<<30)), Over: true,
		}}, drop())
	}
	r.add(established(), accept())
	for _, p := range append(Denied(), cfg.Rig...) {
		if p.Addr().Is4() {
			r.add(daddr(p), jump("refuse"))
		}
	}
	for _, a := range cfg.Resolvers {
		for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			r.add(daddr(netip.PrefixFrom(a, 32)), dport(proto, 53), limit(dnsRate, dnsRate, false), accept())
		}
	}
	for _, port := range []uint16{25, 465, 587, 2525} { // no mail from a stranger's line
		r.add(dport(unix.IPPROTO_TCP, port), counter(), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	}
	rate := uint64(webRate)
	if cfg.Egress == "any" {
		rate = anyRate
	}
	r.add(limit(rate, uint32(rate)*webBurst/webRate, true), drop()) // only new connections come here
	r.add([]expr.Any{&expr.Connlimit{Count: maxConns, Flags: 1}}, drop())
	if cfg.Egress == "any" {
		r.add(proto(unix.IPPROTO_TCP), accept())
		r.add(dport(unix.IPPROTO_UDP, 123), accept())
		r.add(dport(unix.IPPROTO_UDP, 443), accept())
	} else {
		r.add(dport(unix.IPPROTO_TCP, 80), accept())
		r.add(dport(unix.IPPROTO_TCP, 443), accept())
	}
	r.add(jump("refuse"))
}

// count reads the byte counters.
func count(c *nftables.Conn) (l NetworkLine, err error) {
	for _, name := range []string{"tx", "rx", "refuse"} {
		got, err := c.GetRules(inet, &nftables.Chain{Table: inet, Name: name})
		if err != nil {
			return l, err
		}
		for _, r := range got {
			for _, e := range r.Exprs {
				ct, ok := e.(*expr.Counter)
				switch {
				case !ok:
				case name == "tx":
					l.TX = ct.Bytes
				case name == "rx":
					l.RX = ct.Bytes
				default:
					l.Denied = ct.Packets
				}
			}
		}
	}
	return l, nil
}

func accept() []expr.Any  { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any    { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func counter() []expr.Any { return []expr.Any{&expr.Counter{}} }
func jump(to string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: to}}
}

func limit(rate uint64, burst uint32, over bool) []expr.Any {
	return []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: rate, Unit: expr.LimitTimeSecond, Burst: burst,
		Over: over}}
}

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: reg}, &expr.Cmp{Op: op, Register: reg, Data: data}}
}

func iface(key expr.MetaKey, name string) []expr.Any { return meta(key, expr.CmpOpEq, ifname(name)) }
func notIface(key expr.MetaKey, name string) []expr.Any {
	return meta(key, expr.CmpOpNeq, ifname(name))
}

func ifname(n string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, n)
	return b
}

func ipv4() []expr.Any { return meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{unix.NFPROTO_IPV4}) }
func ipv6() []expr.Any { return meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{unix.NFPROTO_IPV6}) }
func proto(p byte) []expr.Any {
	return meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{p})
}

func dport(p byte, port uint16) []expr.Any {
	return append(proto(p),
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: binaryutil.BigEndian.PutUint16(port)})
}

func daddr(p netip.Prefix) []expr.Any {
	p = p.Masked()
	a := p.Addr().As4()
	mask := binaryutil.BigEndian.PutUint32(uint32(uint64(0xffffffff) << (32 - p.Bits())))
	return append(ipv4(),
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: a[:]})
}

func established() []expr.Any {
	mask := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Register: reg, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 4)},
	}
}
