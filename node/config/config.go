// Package config reads the settings of a node: flag over environment over file over default, strictly.
//
// Invariants: a key that nobody knows is an error, never ignored; the struct tags below are the only table of keys,
// from which the documentation, the sample file and the environment names follow. Concurrency: values only.
// Persistence: one TOML file, never merged with another; Set rewrites one line of it. Next: Load in load.go, table.go.
package config

// Config is all settings of a node. Tags: default is the text that the file would hold; hot keys apply without a
// restart; secret ones are addresses with keys in them, shown by scheme and host.
type Config struct {
	Node     Node     `toml:"node"`
	API      API      `toml:"api"`
	P2P      P2P      `toml:"p2p"`
	Solana   Solana   `toml:"solana"`
	Wallet   Wallet   `toml:"wallet"`
	Customer Customer `toml:"customer"`
	Provider Provider `toml:"provider"`
	Limits   Limits   `toml:"limits"`
	Indexer  Indexer  `toml:"indexer"`
}

// Node says who the node is. Empty DataDir: by system.
type Node struct {
	Network string   `toml:"network" default:"devnet" help:"localnet (or localnet-NAME), devnet, mainnet"`
	Roles   []string `toml:"roles" default:"customer" help:"of provider, customer, indexer; none: a node that only helps others find each other"`
	DataDir string   `toml:"data_dir" help:"folder of keys, state and waiting files, mode 0700, on a local disk; default by system"`
	Log     string   `toml:"log" default:"info" help:"debug, info, warn or error"`
}

// API is the local interface.
type API struct {
	Socket           string `toml:"socket" help:"unix socket; default by system"`
	Group            string `toml:"group" help:"group whose members may use the socket too (mode 0660), and so spend the wallet's money; none: only the node's user (0600)"`
	Listen           string `toml:"listen" help:"address for the API beside the socket, as in 127.0.0.1:7072, on this machine only; calls carry the token; none: off"`
	TokenFile        string `toml:"token_file" help:"file with the token for api.listen, made with mode 0600; default api.token in the data folder"`
	Metrics          string `toml:"metrics" help:"address for Prometheus, as in 127.0.0.1:7071; none: off"`
	MetricsTokenFile string `toml:"metrics_token_file" help:"file with the token that a scrape must carry; needed beyond loopback"`
}

// P2P is the node's place in the network.
type P2P struct {
	Listen    []string `toml:"listen" help:"multiaddresses; none: port 4801 UDP (QUIC) and TCP, buyers any port"`
	Bootstrap []string `toml:"bootstrap" help:"multiaddresses ending in /p2p/ID, beside the network's own list"`
	Infra     bool     `toml:"infra" help:"be a bootstrap node and relay for others"`
	MDNS      bool     `toml:"mdns" help:"find nodes on the LAN, and be found there"`
	// of local networks, where tests have an internet of their own
	PublicRules bool     `toml:"public_rules" help:"judge addresses as on a public network; local networks only, to try NAT"`
	RelayTime   Duration `toml:"relay_time" default:"30m" help:"of an infra node: how long a circuit over it lasts; 30m at least off local networks"`
	RelayData   Size     `toml:"relay_data" default:"4MiB" help:"of an infra node: bytes that a circuit over it carries each way; 4MiB at least off local networks"`
	Quiet       bool     `toml:"quiet" help:"hear no offers, look rigs up when an order needs them; customers only"`
}

// Solana is the ledger.
type Solana struct {
	RPC    []string `toml:"rpc" secret:"yes" help:"trusted endpoints; default by network; shown by scheme and host only"`
	MaxFee Money    `toml:"max_fee" default:"0.0001 SOL" help:"most that one transaction may cost in fees"`
}

// Wallet is the spending account.
type Wallet struct {
	Keypair   string   `toml:"keypair" help:"an existing Solana keypair file; default keys/spending.json in the data folder"`
	MaxPerDay Money    `toml:"max_per_day" default:"0 SOL" help:"extra cap beside the balance; 0 = none"`
	ShowRate  ShowText `toml:"show_rate" hot:"yes" help:"your own rate for a second figure beside SOL, as in 1 SOL = 150 USD; none: SOL alone"`
}

// Customer holds defaults of orders.
type Customer struct {
	MaxTotal    Money    `toml:"max_total" default:"0 SOL" hot:"yes" help:"cap of an order that names none; 0 = it must name one"`
	KeepChannel bool     `toml:"keep_channel" hot:"yes" help:"leave the channel open for the next order"`
	Away        Duration `toml:"away" default:"15m" hot:"yes" help:"signed ahead per lease, so that a job outlives a sleeping computer; 0s = off"`
	AwayMax     Money    `toml:"away_max" default:"0.002 SOL" help:"most that is signed ahead per lease"`
	LogMax      Size     `toml:"log_max" default:"256MiB" help:"disk for the log of one job, compressed; the oldest output goes first"`
	SpoolMax    Size     `toml:"spool_max" default:"100GiB" help:"inputs and outputs that wait in the data folder; above it the oldest go, those that nobody fetched last; 0B = no bound"`
	SpoolKeep   Duration `toml:"spool_keep" default:"7d" help:"how long outputs stay in the data folder once they were fetched"`
}

// Provider is what is sold, and how.
type Provider struct {
	Sell      bool              `toml:"sell" default:"true" hot:"yes" help:"list the rig; pause and resume change it until the next start"`
	Payout    string            `toml:"payout" help:"Solana address that only receives; its key is not needed here"`
	Rate      string            `toml:"rate" hot:"yes" help:"SOL per device and hour, as in 0.0024/h"`
	Rates     map[string]string `toml:"rates" hot:"yes" help:"the same by model, as in { rtx-4090 = \"0.003/h\" }"`
	MaxTime   Duration          `toml:"max_time" default:"30d" hot:"yes" help:"longest lease"`
	Cores     int               `toml:"cores" help:"lent out; 0 = all but one"`
	Memory    Size              `toml:"memory" default:"0B" help:"lent out; 0B = all but 2 GiB"`
	Disk      Size              `toml:"disk" default:"0B" help:"lent out; 0B = half of what is free, or 20 GiB if that is more and there"`
	Egress    string            `toml:"egress" default:"web" help:"what jobs may reach: none, web (ports 80 and 443), any; never the LAN"`
	Resolvers []string          `toml:"resolvers" help:"DNS servers of jobs; default public ones"`
	Tick      Duration          `toml:"tick" default:"10s" help:"how often a job is paid; at least 5s but on localnet"`
	Hold      Duration          `toml:"hold" default:"2m" help:"how long a job waits, paused, for a customer that went silent"`
	SealAfter Duration          `toml:"seal_after" default:"30h" help:"a channel without a lease, whose customer was not heard for so long, is ended and paid out; 0s = never"`
	Outcomes  string            `toml:"outcomes" default:"public" help:"public: a lease of which both sides agree is told to everybody: model, rate, times, amount, how it ended; private: none is"`
	ClaimFee  Money             `toml:"claim_fee" default:"0.00005 SOL" help:"a customer's open pays this towards the rig's transactions"`

	AllowImages []string `toml:"allow_images" hot:"yes" help:"images that may run, as in docker.io/library, ghcr.io/me or python; none: any"`
	DenyImages  []string `toml:"deny_images" hot:"yes" help:"images that may not; goes before allow_images"`

	DockerHost       string   `toml:"docker_host" help:"engine, as in unix:///run/docker.sock; default the environment's"`
	Simulate         []string `toml:"simulate_gpu" help:"localnet only: pretend to have MODEL:N"`
	AllowWeakRuntime bool     `toml:"allow_weak_runtime" help:"localnet only: sell on an engine below the safe versions"`
}

// Limits bound what others may use of the node.
type Limits struct {
	PayerStarts  PerHour  `toml:"payer_starts" default:"3/h" hot:"yes" help:"starts that nobody paid for, per new customer; also one lease at a time until it has paid a tick; 0/h = no limit, which localnet begins with"`
	PrepTime     Duration `toml:"prep_time" default:"15m" hot:"yes" help:"free preparation within an hour that led to no job, per customer; 0s = no limit, which localnet begins with"`
	PayerDevices int      `toml:"payer_devices" hot:"yes" help:"devices of one customer at a time; 0 = all"`
}

// Indexer keeps a public index of the market.
type Indexer struct {
	Listen  string   `toml:"listen" default:"127.0.0.1:8080" help:"address of the public API, as in 0.0.0.0:8080 for everybody; none: it is not served"`
	Store   string   `toml:"store" secret:"yes" help:"file of the index, or postgres://…; default index.db in the data folder; shown by scheme and host only"`
	Compare []string `toml:"compare" help:"other indexers, as in https://index.example: hourly this one is compared with them, and /network shows what came of it"`
}
