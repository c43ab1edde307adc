package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

type idlMeta struct {
	Name     string `json:"name"`
	Writable bool   `json:"writable,omitempty"`
	Signer   bool   `json:"signer,omitempty"`
	Address  string `json:"address,omitempty"`
}

type idlField struct {
	Name string   `json:"name"`
	Docs []string `json:"docs,omitempty"`
	Type any      `json:"type"`
}

type idlInstruction struct {
	Name          string     `json:"name"`
	Docs          []string   `json:"docs"`
	Discriminator []int      `json:"discriminator"`
	Accounts      []idlMeta  `json:"accounts"`
	Args          []idlField `json:"args"`
}

type idlCode struct {
	Code uint32 `json:"code"`
	Name string `json:"name"`
	Msg  string `json:"msg"`
}

type idlAccount struct {
	Name          string `json:"name"`
	Discriminator []int  `json:"discriminator"`
}

type idlType struct {
	Name string   `json:"name"`
	Docs []string `json:"docs"`
	Type struct {
		Kind   string     `json:"kind"`
		Fields []idlField `json:"fields"`
	} `json:"type"`
}

type idl struct {
	Address  string `json:"address"`
	Metadata struct {
		Name        string `json:"name"`
		Version     string `json:"version"`
		Spec        string `json:"spec"`
		Description string `json:"description"`
	} `json:"metadata"`
	Instructions []idlInstruction `json:"instructions"`
	Accounts     []idlAccount     `json:"accounts"`
	Errors       []idlCode        `json:"errors"`
	Types        []idlType        `json:"types"`
}

// idlText returns the program's interface description in Anchor's form 0.1.0, which explorers read. program is its
// address. An instruction's discriminator is its tag, the Channel's its kind and version. Errors: none but of encoding.
func idlText(program string) (string, error) {
	d := idl{Address: program}
	d.Metadata.Name, d.Metadata.Version, d.Metadata.Spec = "gpuai_escrow", "1.0.0", "0.1.0"
	d.Metadata.Description = "Channels of GPU AI: a payer locks, a payee redeems cumulative Vouchers, " +
		"the rest returns."
	for _, i := range Instructions {
		x := idlInstruction{Name: i.Name, Docs: []string{i.Doc}, Discriminator: []int{int(i.Tag)}, Args: []idlField{}}
		for _, m := range i.Accounts {
			x.Accounts = append(x.Accounts, idlMeta{m.Name, m.Writable, m.Signer, m.Address})
		}
		for _, f := range i.Data {
			x.Args = append(x.Args, fieldOf(f))
		}
		d.Instructions = append(d.Instructions, x)
	}
	for _, c := range Codes {
		d.Errors = append(d.Errors, idlCode{c.Number, camel(c.Name), c.Doc})
	}
	d.Accounts = []idlAccount{{camel(Channel.Name), ints(Channel.Discriminator)}}
	t := idlType{Name: camel(Channel.Name), Docs: []string{Channel.Doc}}
	t.Type.Kind = "struct"
	for _, f := range Channel.Fields {
		t.Type.Fields = append(t.Type.Fields, fieldOf(f))
	}
	d.Types = []idlType{t}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return "", fmt.Errorf("encoding the IDL: %w", err)
	}
	return b.String(), nil
}

func ints(b []byte) (out []int) {
	for _, v := range b {
		out = append(out, int(v))
	}
	return out
}

func fieldOf(f Field) idlField {
	x := idlField{Name: f.Name}
	if f.Doc != "" {
		x.Docs = []string{f.Doc}
	}
	switch f.Kind {
	case U8:
		x.Type = "u8"
	case Seconds:
		x.Type = "u32"
	case Time:
		x.Type = "i64"
	case Key:
		x.Type = "pubkey"
	case Pad2, Pad4, Pad32:
		x.Type = map[string]any{"array": []any{"u8", f.Kind.Size()}}
	default:
		x.Type = "u64"
	}
	return x
}
