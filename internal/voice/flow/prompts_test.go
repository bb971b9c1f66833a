package flow

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPromptsAreThoseThatWillBeSpoken(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want []string
	}{
		{`<Response><Answer/><Say>One  two</Say><Pause length="5"/><Say text="three"/><Hangup/><Say>never</Say></Response>`, []string{"One two", "three"}},
		{`<Response><Gather><Say>press</Say><DTMF value="1"><Say>one</Say></DTMF></Gather><Say>later</Say></Response>`, []string{"press"}},
		{`<Response><Say>hello {{from}}</Say><Say lang="{{meta.lang}}">hello</Say><Say>there</Say></Response>`, []string{"there"}},
		{`<Response><Call field="from" value="1*"><Say>maybe</Say></Call><Say>later</Say></Response>`, nil},
		{`<Response><Say>1</Say><Say>2</Say><Say>3</Say><Say>4</Say></Response>`, []string{"1", "2", "3"}},
		{`<Response/>`, nil},
	} {
		d, err := Parse([]byte(c.doc))
		if err != nil {
			t.Fatalf("%s: %v", c.doc, err)
		}
		var got []string
		for _, r := range d.Prompts(3) {
			got = append(got, r.Text)
			if r.Lang != "en-US" || r.Gender != "FEMALE" || r.Type != "Standard" {
				t.Errorf("%s: %+v", c.doc, r)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.doc, diff)
		}
	}
}
