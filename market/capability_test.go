package market

import (
	"errors"
	"slices"
	"testing"
)

func TestFieldTable_Rows_AscendAndAreUnique(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for i, f := range fields {
		if i > 0 && f.ID <= fields[i-1].ID {
			t.Errorf("%s: id %d does not ascend", f.Name, f.ID)
		}
		if names[f.Name] {
			t.Errorf("%s twice", f.Name)
		}
		names[f.Name] = true
		if f.ID != FieldClass && f.Unit == 0 || f.Unit == UnitWord && len(f.Words) == 0 {
			t.Errorf("%s has no unit or words", f.Name)
		}
	}
}

func TestParseTerms_Example_ReadsAndPrintsBack(t *testing.T) {
	t.Parallel()
	text := "vram >= 24GiB, class in (rtx-4090, a100), country not in (DE), disk_read >= 1GB/s ?"
	terms, err := ParseTerms(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"vram >= 24GiB", "class in (rtx-4090, a100)", "country not in (DE)", "disk_read >= 1GB/s ?"}
	for i, w := range want {
		if got := terms[i].String(); got != w {
			t.Errorf("term %d = %q, want %q", i, got, w)
		}
	}
	if terms[0].Lo != 24<<10 || terms[3].Lo != 1000 || !terms[3].Soft || !terms[2].Not {
		t.Errorf("values: %+v", terms)
	}
}

func TestParseTerms_Ranges_MergeAndRoundTowardsTheUser(t *testing.T) {
	t.Parallel()
	terms, err := ParseTerms(
		"vram >= 24GB, vram <= 48GB, cc > 8.0, cuda >= 12.4, driver >= 570.86.10, egress = web, power < 300W")
	if err != nil {
		t.Fatal(err)
	}
	// 24 GB = 22888.2 MiB: rounded up; 48 GB = 45776.4 MiB: rounded down.
	if terms[0].Lo != 22889 || terms[0].Hi != 45776 || terms[1].Lo != 81 || terms[2].Lo != 12040 ||
		terms[3].Lo != 570086010 {
		t.Errorf("terms = %+v", terms)
	}
	if !slices.Equal(terms[4].In, []uint64{2}) || terms[5].Hi != 299 {
		t.Errorf("terms = %+v", terms[4:])
	}
}

func TestParseTerms_Faults_NamePlaceAndFix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"vrma >= 24GiB":           `unknown field "vrma" at 1:1, did you mean "vram"?`,
		"vram >= 24":              `"24" has no unit, write one of KiB MiB GiB TiB MB GB TB at 1:9`,
		"cc >= 8.0,\n  vram >= x": `"x" is no number at 2:11`,
		"country > DE":            "country has no order, write = or in at 1:9",
		"class in (RTX)":          `"RTX" is no class, write it as in rtx-4090 at 1:11`,
		"vram":                    "want >=, <=, =, != or in after vram at 1:5",
		"vram >= 1GiB,":           "a term must follow the comma at 1:14",
		"egress = lan":            `"lan" is no egress, want one of none, web, any at 1:10`,
		"vram = 1GB":              `"1GB" is no whole number of the field's unit at 1:8`,
	} {
		_, err := ParseTerms(text)
		var te *TermError
		if !errors.As(err, &te) || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestTerm_Fits_UnstatedNeverFitsAndBitsOverlap(t *testing.T) {
	t.Parallel()
	de := Term{Field: FieldCountry, In: []uint64{'D'<<8 | 'E'}, Not: true}
	web := Term{Field: FieldEgress, In: []uint64{2}}
	for _, c := range []struct {
		term   Term
		v      uint64
		stated bool
		want   bool
	}{
		{Term{Field: FieldVRAM, Lo: 10}, 10, true, true},
		{Term{Field: FieldVRAM, Lo: 10}, 10, false, false},
		{Term{Field: 200, Lo: 0}, 10, true, false},
		{de, 'F'<<8 | 'R', true, true},
		{de, 'D'<<8 | 'E', true, false},
		{de, 0, false, false}, // "not in DE" is not met by a rig that does not say where it is
		{web, 3, true, true},
		{web, 5, true, false},
	} {
		if got := c.term.Fits(c.v, c.stated); got != c.want {
			t.Errorf("%s fits %d (stated %v) = %v", c.term, c.v, c.stated, got)
		}
	}
}

func TestSlug_NVMLNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"NVIDIA GeForce RTX 4090":                           "rtx-4090",
		"NVIDIA GeForce RTX 3080 Ti":                        "rtx-3080-ti",
		"NVIDIA A100-SXM4-80GB":                             "a100",
		"NVIDIA A100 80GB PCIe":                             "a100",
		"NVIDIA H100 80GB HBM3":                             "h100",
		"Tesla T4":                                          "t4",
		"NVIDIA RTX 6000 Ada Generation":                    "rtx-6000-ada",
		"NVIDIA GeForce RTX 4090 Laptop GPU":                "rtx-4090-laptop",
		"NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "rtx-pro-6000-ws",
		"NVIDIA A100-SXM4-40GB MIG 1g.5gb":                  "a100-mig-1g-5gb",
		"":                                                  "gpu",
		"Some Utterly New Accelerator Model With A Long Name": "some-utterly-new-accelerator-mod",
	} {
		got := Slug(name)
		if got != want || !ValidClass(got) || Slug(got) != got {
			t.Errorf("Slug(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzParseTerms(f *testing.F) {
	f.Add("vram >= 24GiB, class in (rtx-4090, a100), country not in (DE), disk_read >= 1GB/s ?")
	f.Add("cc != 8.9, driver >= 570.86.10, rate <= 0.0024, uptime >= 99.5%")
	f.Fuzz(func(t *testing.T, text string) {
		terms, err := ParseTerms(text)
		if err != nil {
			return
		}
		for _, term := range terms {
			again, err := ParseTerms(term.String())
			if err != nil || len(again) != 1 || again[0].String() != term.String() {
				t.Fatalf("%q prints as %q, which reads as %v, %v", text, term, again, err)
			}
		}
	})
}

func FuzzSlug(f *testing.F) {
	f.Add("NVIDIA GeForce RTX 4090")
	f.Fuzz(func(t *testing.T, name string) {
		if s := Slug(name); !ValidClass(s) {
			t.Fatalf("Slug(%q) = %q", name, s)
		}
	})
}
