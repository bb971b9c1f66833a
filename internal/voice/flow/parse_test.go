package flow

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/opentact/opentact/internal/fault"
)

// refusals are documents and the whole message that their sender reads.
var refusals = []struct{ name, doc, message string }{
	{"empty", "", "line 1, column 1: document is empty"},
	{"only white space", " \n\t", "line 1, column 1: document is empty"},
	{"only a comment", "<!-- nothing -->", "line 1, column 1: document has no <Response>"},
	{"another root", "\n <Say>x</Say>", "line 2, column 2: the root must be <Response>, not <Say>"},
	{"unknown root", "<html/>", "line 1, column 1: unknown element <html>"},
	{"two roots", "<Response/>\n<Response/>", "line 2, column 1: a second root; only one <Response> is allowed"},
	{"text before the root", "hello <Response/>", "line 1, column 1: text outside of <Response>"},
	{"text after the root", "<Response/>\n  tail", "line 2, column 3: text outside of <Response>"},
	{"unknown element", "<Response>\n\n  <Foo/>\n</Response>", "line 3, column 3: unknown element <Foo>"},
	{"a later step's element", "<Response><Hold/></Response>", "line 1, column 11: unknown element <Hold>"},
	{"misplaced element", "<Response>\n<Case dtmf=\"1\"/></Response>", "line 2, column 1: <Case> is not allowed in <Response>"},
	{"command in a target", "<Response><Dial><To>1<Say>x</Say></To></Dial></Response>", "line 1, column 22: <Say> is not allowed in <To>"},
	{"Gather in a prompt's place", "<Response><Gather><Gather/></Gather></Response>", "line 1, column 19: <Gather> is not allowed in <Gather>"},
	{"text in an element without text", "<Response>\n  <Answer>\n now </Answer></Response>", "line 3, column 2: text is not allowed in <Answer>"},
	{"DTD", "<!DOCTYPE Response [<!ENTITY a \"b\">]><Response/>", "line 1, column 1: DTD and entity definitions are not allowed"},
	{"declared latin1", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Response/>", "line 1, column 1: only the encoding UTF-8 is read"},
	{"UTF-16", "\xFF\xFE<\x00R\x00", "line 1, column 1: document is UTF-16; only UTF-8 is read"},
	{"bytes that are not UTF-8", "<Response>\n<Say>caf\xE9</Say></Response>", "line 2, column 9: document is not UTF-8"},
	{"late declaration", "<Response/><?xml version=\"1.0\"?>", "line 1, column 12: the XML declaration must be the first thing in the document"},
	{"bare ampersand in text", "<Response>\n <Say>fish & chips</Say></Response>", "line 2, column 12: a bare & is not allowed; write &amp;"},
	{"bare ampersand in a URL", "<Response>\n <Play url=\"https://a.example/?x=1&y=2\"/></Response>", "line 2, column 35: a bare & is not allowed; write &amp;"},
	{"entity of HTML", "<Response><Say>a &lt; b&nbsp;c</Say></Response>", "line 1, column 24: unknown entity &nbsp; - only lt, gt, amp, quot, apos and numbers are known"},
	{"attribute twice", "<Response><Say text=\"a\" text=\"b\"/></Response>", "line 1, column 25: attribute \"text\" is given twice"},
	{"attribute and its alias", "<Response><Gather length=\"1\"\n numDigits=\"2\"/></Response>", "line 2, column 2: attribute \"numDigits\" is given twice, the first time as \"length\""},
	{"unknown attribute twice", "<Response><Say zz='1' zz='2'>x</Say></Response>", "line 1, column 23: attribute \"zz\" is given twice"},
	{"end tag of another element", "<Response>\n<Say>x</Play></Response>", "line 2, column 7: </Play> does not close <Say> of line 2"},
	{"end tag in another case", "<Response><Say>x</say></Response>", "line 1, column 17: </say> does not close <Say> of line 1"},
	{"end tag too much", "<Response/></Response>", "line 1, column 12: </Response> closes nothing"},
	{"end missing", "<Response>\n <Gather>\n", "line 3, column 1: document ends inside <Gather> of line 2"},
	{"tag not finished", "<Response", "line 1, column 10: document ends in the middle of a tag"},
	{"attribute without quotes", "<Response><Say loop=3>x</Say></Response>", "line 1, column 22: unquoted or missing attribute value in element"},
	{"number", "<Response><Pause\n  length=\"1s\"/></Response>", "line 2, column 3: attribute \"length\" of <Pause> must be a whole number from 0 to 600000"},
	{"number over its range", "<Response><Gather dtmf_length=\"33\"/></Response>", "line 1, column 19: attribute \"dtmf_length\" of <Gather> must be a whole number from 1 to 32"},
	{"signed number", "<Response><Answer delay=\"+5\"/></Response>", "line 1, column 19: attribute \"delay\" of <Answer> must be a whole number from 0"},
	{"enumeration", "<Response><Say gender=\"none\">x</Say></Response>", "line 1, column 16: attribute \"gender\" of <Say> must be MALE or FEMALE"},
	{"bool", "<Response><Say early=\"yes\">x</Say></Response>", "line 1, column 16: attribute \"early\" of <Say> must be true, false, 1 or 0"},
	{"URL without scheme", "<Response><Play url=\"a.example/x\"/></Response>", "line 1, column 17: attribute \"url\" of <Play> must be a URL that starts with http:// or https://"},
	{"URL in text", "<Response>\n <Callback>ftp://a.example</Callback></Response>", "line 2, column 2: text of <Callback> must be a URL that starts with http:// or https://"},
	{"keys", "<Response><Gather dtmf_stop=\"x\"/></Response>", "line 1, column 19: attribute \"dtmf_stop\" of <Gather> must hold only the keys 0-9, *, #, A-D"},
	{"key list", "<Response><Gather><DTMF value=\"1,,2\"/></Gather></Response>", "line 1, column 25: attribute \"value\" of <DTMF> must be keys 0-9, *, #, A-D; several entries are separated by commas"},
	{"key list missing", "<Response><Gather><DTMF/></Gather></Response>", "line 1, column 19: <DTMF> needs the attribute \"value\""},
	{"required but empty", "<Response><Gather><DTMF value=\" \"/></Gather></Response>", "line 1, column 25: attribute \"value\" of <DTMF> must not be empty"},
	{"volume", "<Response><Tone v=\"3\"/></Response>", "line 1, column 17: attribute \"v\" of <Tone> must be a number of decibels, 0 or less"},
	{"tones", "<Response><Tone hz=\"440x\"/></Response>", "line 1, column 17: attribute \"hz\" of <Tone> must be frequencies such as 480,620x3;440"},
	{"digits to send", "<Response><Dial><To sendDigits=\"12p\">1</To></Dial></Response>", "line 1, column 21: attribute \"sendDigits\" of <To> must hold only the keys 0-9, *, #, A-D and w"},
	{"ringback", "<Response><Dial ringback=\"loud\"><To>1</To></Dial></Response>", "line 1, column 17: attribute \"ringback\" of <Dial> must be early, tone, none or a URL"},
	{"days", "<Response><Schedule dow=\"mon,tues\"/></Response>", "line 1, column 21: attribute \"dow\" of <Schedule> must be days out of sun,mon,tue,wed,thu,fri,sat"},
	{"hours", "<Response><Schedule time=\"9-17\"/></Response>", "line 1, column 21: attribute \"time\" of <Schedule> must be HH:MM:SS-HH:MM:SS; several ranges are separated by commas"},
	{"hours after midnight", "<Response><Schedule time=\"00:00:00-24:00:01\"/></Response>", "line 1, column 21: attribute \"time\" of <Schedule> must be HH:MM:SS-HH:MM:SS; several ranges are separated by commas"},
	{"dates", "<Response><Schedule date=\"2026-02-30\"/></Response>", "line 1, column 21: attribute \"date\" of <Schedule> must be YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD; several are separated by commas"},
	{"zone", "<Response><Schedule tz=\"Mars/Base\"/></Response>", "line 1, column 21: attribute \"tz\" of <Schedule> must be a time zone such as America/New_York"},
	{"meta name", "<Response><Meta name=\"a b\" value=\"1\"/></Response>", "line 1, column 17: attribute \"name\" of <Meta> must be 1 to 64 letters, digits, dots, underscores or hyphens"},
	{"meta without value", "<Response>\n<Meta name=\"a\"/></Response>", "line 2, column 1: <Meta> needs a value or text"},
	{"header name", "<Response><Curl url=\"https://a.example\"><Header name=\"a:b\"/></Curl></Response>", "line 1, column 49: attribute \"name\" of <Header> must be a header name"},
	{"Say without text", "<Response>\n  <Say>\n</Say></Response>", "line 2, column 3: <Say> needs a text"},
	{"Say that is too long", "<Response><Say text=\"" + strings.Repeat("ä", 4001) + "\"/></Response>", "line 1, column 16: attribute \"text\" of <Say> must not be longer than 4000 characters"},
	{"Play without anything", "<Response><Play/></Response>", "line 1, column 11: <Play> needs a URL or the attribute \"record\""},
	{"Redirect without URL", "<Response><Redirect/></Response>", "line 1, column 11: <Redirect> needs a URL"},
	{"Dial without target", "<Response>\n<Dial><Error/></Dial></Response>", "line 2, column 1: <Dial> needs a target, such as <To>"},
	{"target without destination", "<Response><Dial><To/></Dial></Response>", "line 1, column 17: <To> needs a destination"},
	{"too many targets", "<Response><Dial>" + strings.Repeat("<To>1</To>", 11) + "</Dial></Response>", "line 1, column 117: more than 10 targets in a <Dial>"},
	{"long tag", "<Response><Hangup tag=\"" + strings.Repeat("t", 256) + "\"/></Response>", "line 1, column 19: attribute \"tag\" of <Hangup> must not be longer than 255 characters"},
	{"too deep", "<Response>" + strings.Repeat("<Record>", 32), "line 1, column 259: elements are nested deeper than 32 levels"},
	{"too many elements", "<Response>" + strings.Repeat("<Tone/>", 4096), "line 1, column 28676: more than 4096 elements"},
	{"too many attributes", "<Response><Hangup" + strings.Repeat(" a=''", 65) + "/></Response>", "line 1, column 11: more than 64 attributes in <Hangup>"},
	{"too large", "<Response>" + strings.Repeat(" ", 64<<10) + "</Response>", "line 1, column 1: document is larger than 64 KiB"},
	{"columns count characters", "<Response><Say>日本語</Say><Foo/></Response>", "line 1, column 25: unknown element <Foo>"},
	{"lines end with CR LF", "<Response>\r\n <Foo/></Response>", "line 2, column 2: unknown element <Foo>"},
	{"byte order mark is no character", "\xEF\xBB\xBF<Response><Foo/></Response>", "line 1, column 11: unknown element <Foo>"},
}

func TestRefusedDocumentsNamePlaceAndReason(t *testing.T) {
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			_, err := Parse([]byte(r.doc))
			if !fault.Is(err, fault.InvalidXML) {
				t.Fatalf("error %v is not %s", err, fault.InvalidXML)
			}
			if got := fault.Of(err).Public(); got != r.message {
				t.Errorf("got  %s\nwant %s", got, r.message)
			}
		})
	}
}

func TestNamesAndEnumerationsIgnoreCase(t *testing.T) {
	doc := parsed(t, `<RESPONSE><say LOOP="2" Gender="female" TYPE="wavenet">a</say><callback METHOD="post">https://a.example/</callback></RESPONSE>`)
	say, back := doc.Root.Children[0], doc.Root.Children[1]
	if diff := cmp.Diff(map[string]string{"loop": "2", "gender": "FEMALE", "type": "WaveNet"}, say.View().Attributes); diff != "" {
		t.Error(diff)
	}
	if back.Name != "Callback" || back.attr("method").Value != "POST" || back.Text != "https://a.example/" {
		t.Errorf("callback was read as %+v", back.View())
	}
}

func TestAliasesKeepTheSpellingThatWasUsed(t *testing.T) {
	g := parsed(t, `<Response><Gather NUMDIGITS="3" finishonkey="#"/></Response>`).Root.Children[0]
	if !g.has("dtmf_length") || !g.spelled("numDigits") || g.spelled("dtmf_length") || g.attr("dtmf_stop").Value != "#" {
		t.Errorf("attributes %+v", g.Attrs)
	}
}

func TestEveryElementAndAttributeKnowsItsPlace(t *testing.T) {
	doc := parsed(t, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Response xmlns:x=\"urn:x\">\n  <x:Say\n    loop = '2'\tx:lang=\"de>DE\"early=\"0\">é</x:Say><Pause length='5'/></Response>")
	say, pause := doc.Root.Children[0], doc.Root.Children[1]
	type place struct {
		Name         string
		Line, Column int
	}
	got := []place{{say.Name, say.Line, say.Column}, {pause.Name, pause.Line, pause.Column}}
	for _, a := range append(say.Attrs, pause.Attrs...) {
		got = append(got, place{a.Name, a.Line, a.Column})
	}
	want := []place{{"Say", 3, 3}, {"Pause", 4, 49}, {"loop", 4, 5}, {"lang", 4, 16}, {"early", 4, 30}, {"length", 4, 56}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTextIsTrimmedAndSpeechCollapsed(t *testing.T) {
	doc := parsed(t, "<Response><Say> a\n\t b &amp; <!-- c --><![CDATA[<c>]]> &#x64; </Say><Meta name=\"m\" value=\" v  w \"/></Response>")
	if got := doc.Root.Children[0].Text; got != "a b & <c> d" {
		t.Errorf("speech %q", got)
	}
	if got := doc.Root.Children[1].attr("value").Value; got != "v  w" {
		t.Errorf("value %q", got)
	}
}

func TestUnknownAttributesAreWarnings(t *testing.T) {
	warnings, err := Lint([]byte("<Response>\n  <Say voice=\"x\" xmlns=\"urn:y\">a</Say>\n</Response>"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`line 2, column 8: unknown attribute "voice" of <Say> is ignored`}, warnings); diff != "" {
		t.Error(diff)
	}
}

func TestTemplatesAreCheckedWhenTheyRun(t *testing.T) {
	parsed(t, `<Response><Say loop="{{meta.n}}" early="{{meta.e}}">{{dtmf}}</Say><Play>{{meta.url}}</Play><Gather dtmf_length="{{meta.l}}"><DTMF value="{{meta.k}}"/></Gather></Response>`)
	if _, err := Parse([]byte(`<Response><Say loop="\{{meta.n}}">x</Say></Response>`)); err == nil {
		t.Error("an escaped template passed as a number")
	}
}

func TestProcessingInstructionsAndCommentsAreIgnored(t *testing.T) {
	doc := parsed(t, "<?xml version='1.0'?><!-- a --><?php echo ?>\n<Response><?x?><!-- b --><Hangup/></Response>\n<!-- c -->\n<?y?>\n")
	if len(doc.Root.Children) != 1 || len(doc.Warnings) != 0 {
		t.Errorf("children %d, warnings %v", len(doc.Root.Children), doc.Warnings)
	}
}

func TestCommaListsMayHoldSpaces(t *testing.T) {
	doc := parsed(t, `<Response><Gather><DTMF value="1, 2a"/></Gather><Schedule dow="Mon, TUE" time="09:00:00-10:00:00, 22:00:00-24:00:00"/></Response>`)
	if v := doc.Root.Children[0].Children[0].Attrs[0].Value; v != "1,2A" {
		t.Errorf("keys %q", v)
	}
	if v := doc.Root.Children[1].attr("dow").Value; v != "mon,tue" {
		t.Errorf("days %q", v)
	}
}

func TestViewIsTheElementAsEventsShowIt(t *testing.T) {
	doc := parsed(t, `<Response><Dial timeout="9000"><To>14155550199</To><Error/></Dial></Response>`)
	number := "14155550199"
	want := View{Name: "Dial", Attributes: map[string]string{"timeout": "9000"}, Children: []View{
		{Name: "To", Attributes: map[string]string{}, Text: &number, Children: []View{}},
		{Name: "Error", Attributes: map[string]string{}, Children: []View{}},
	}}
	if diff := cmp.Diff(want, doc.Root.Children[0].View()); diff != "" {
		t.Error(diff)
	}
}

func parsed(t testing.TB, doc string) *Document {
	t.Helper()
	d, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sample uses most of the grammar; it is the benchmark's document too.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Answer delay="200" tag="in"/>
  <Gather dtmf_length="1" timeout="5000" attempts="2" tag="menu">
    <Say lang="en-US" gender="FEMALE">Repairs are on one. The workshop is on two.</Say>
    <DTMF value="1"><Play url="https://media.cedar.example/repairs.mp3"/></DTMF>
    <DTMF value="2"><Dial timeout="20000" tag="shop"><To>ida@cedar.sip.example.org</To><Error say="true"/></Dial></DTMF>
    <Default><Say>There is nothing on that key.</Say></Default>
  </Gather>
  <Hangup/>
</Response>`

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	for _, r := range refusals {
		if len(r.doc) < 400 {
			f.Add([]byte(r.doc))
		}
	}
	f.Add([]byte("<Response a='1'b=\"2\"><Say x:y = '>' >&#65;<![CDATA[ & ]]></Say></Response>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := Parse(doc)
		if err != nil {
			if !fault.Is(err, fault.InvalidXML) || !strings.HasPrefix(fault.Of(err).Public(), "line ") {
				t.Fatalf("refused without a place: %v", err)
			}
			return
		}
		if err := wellFormed(doc); err != nil {
			t.Fatalf("accepted what is not well-formed: %v", err)
		}
		lines := strings.Count(string(doc), "\n") + 1
		walkNodes(t, d.Root, lines, 1)
	})
}

// wellFormed asks the standard library, as a second opinion.
func wellFormed(doc []byte) error {
	dec := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(string(doc), "\xEF\xBB\xBF")))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func walkNodes(t *testing.T, n *Node, lines, depth int) {
	if n.Line < 1 || n.Line > lines || n.Column < 1 || depth > maxDepth {
		t.Fatalf("<%s> at line %d, column %d, depth %d", n.Name, n.Line, n.Column, depth)
	}
	for i, c := range n.Children {
		if c.index != i || c.spec.is&n.spec.holds == 0 {
			t.Fatalf("<%s> should not be child %d of <%s>", c.Name, i, n.Name)
		}
		walkNodes(t, c, lines, depth+1)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if _, err := Parse([]byte(sample)); err != nil {
			b.Fatal(err)
		}
	}
}
