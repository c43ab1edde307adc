package guard

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Exit codes of init beside the command's own. 121: the gate was not opened in time. 126, 127: the command could not be
// started.
const (
	ExitNotOpened     = 121
	ExitNotExecutable = 126
	ExitNotFound      = 127
)

// GateTimeout is how long init waits for the gate.
const GateTimeout = 30 * time.Second

// LDPrefix hides LD_* variables of image and customer from root-run hooks; init restores them for the command only.
const LDPrefix = "GPUAI_X_"

// GateReport is what the gate saw before any customer code ran: the first line of its output.
type GateReport struct {
	Minors  []int             `json:"minors"` // of /dev/nvidia<N>
	UUIDs   map[string]string `json:"uuids"`  // by minor, from /proc/driver/nvidia
	CapEff  string            `json:"cap_eff"`
	Seccomp int               `json:"seccomp"`
	NoNewP  int               `json:"no_new_privs"`
}

// GateResult is the gate's second line, once it was told to open: whether init started the command.
type GateResult struct {
	Started bool   `json:"started"`
	Exit    int    `json:"exit,omitempty"` // 126 or 127
	Detail  string `json:"detail,omitempty"`
}

// NetworkConfig is the guard's whole configuration, its only argument.
type NetworkConfig struct {
	Egress     string         `json:"egress"` // "web" or "any"
	Resolvers  []netip.Addr   `json:"resolvers"`
	Rig        []netip.Prefix `json:"rig"` // addresses and routes of the rig, denied beside the fixed list
	UplinkMbit uint32         `json:"uplink_mbit"`
}

// NetworkLine is a line of the guard's log. Ready comes once, after the rules were read back; bytes are cumulative.
type NetworkLine struct {
	Ready  bool   `json:"ready,omitempty"`
	Error  string `json:"error,omitempty"`
	TX     uint64 `json:"tx"`
	RX     uint64 `json:"rx"`
	Denied uint64 `json:"denied"` // packets
}

// Denied are the destinations no job reaches: private, link-local, shared and reserved space.
func Denied() []netip.Prefix {
	var p []netip.Prefix
	for _, s := range [...]string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.168.0.0/16",
		"198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	} {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// ProbeReport is what the sandbox really is, seen from inside. Weak lists what is missing; empty: as strong as the
// profile says.
type ProbeReport struct {
	CapEff  string            `json:"cap_eff"`
	Seccomp int               `json:"seccomp"`
	NoNewP  int               `json:"no_new_privs"`
	Calls   map[string]string `json:"calls"` // system call or socket family: errno, "ok" = it worked
	Devices []string          `json:"devices"`
	// memory, pids, cpu_quota_us, nofile (hard), memlock (hard); -1 = unlimited
	Limits   map[string]int64 `json:"limits"`
	Cgroup   int              `json:"cgroup"` // 1 or 2
	Reached  []string         `json:"reached"`
	Reserved []string         `json:"reserved"` // variables that must not be there
	Weak     []string         `json:"weak"`
	// Set by the node: whether a guard came up here, so that egress web and any can be offered, or why not.
	Egress       bool   `json:"egress"`
	EgressDetail string `json:"egress_detail,omitempty"`
}

// ProbeConfig tells the probe what must be unreachable ("ip:port") and whether a name must resolve.
type ProbeConfig struct {
	Unreachable []string `json:"unreachable,omitempty"`
	Memory      int64    `json:"memory"`
	Pids        int64    `json:"pids"`
}

// Exec's stdin is framed: type, four bytes of big-endian length, payload. The end of the stream kills the command; End
// only closes its stdin. A plain stream cannot tell the two apart, and engine execs outlive their client.
const (
	FrameData   byte = 1
	FrameEnd    byte = 2
	FrameResize byte = 3 // payload: columns, rows, big-endian uint16
	MaxFrame         = 32 << 10
)

// WriteFrame writes one frame.
func WriteFrame(w io.Writer, kind byte, payload []byte) error {
	b := make([]byte, 5, 5+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	_, err := w.Write(append(b, payload...))
	return err
}

// ReadFrame reads one frame. Errors: io.EOF at a clean end, too long, I/O.
func ReadFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes", n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return h[0], payload, err
}
