package messaging

import (
	"strings"
	"unicode"
)

// consent is what a received text asks for.
type consent int

const (
	nothing consent = iota
	stop            // opt out of the profile
	stopAll         // of the whole account
	start           // opt in again
	yes             // start, but only of who is opted out
	help
)

// consentWords are the words that every profile understands (messaging-semantics §8).
var consentWords = map[string]consent{
	"STOP": stop, "UNSUBSCRIBE": stop, "CANCEL": stop, "END": stop, "QUIT": stop, "OPTOUT": stop, "OPT-OUT": stop, "OPT OUT": stop, "STOPALL": stopAll, "REVOKE": stopAll,
	"START": start, "UNSTOP": start, "YES": yes, "HELP": help, "INFO": help,
}

// countryWords are those of further languages, by the country of the sender.
var countryWords = map[string]map[string]consent{
	"CA": {"ARRET": stop, "ARRÊT": stop, "AIDE": help}, "FR": {"ARRET": stop, "ARRÊT": stop, "AIDE": help}, "SE": {"STOPP": stop, "HJÄLP": help}, "DE": {"STOPP": stop, "HILFE": help},
	"NO": {"STOPP": stop, "HJELP": help}, "ES": {"ALTO": stop, "AYUDA": help}, "MX": {"ALTO": stop, "AYUDA": help},
}

// normalWord is a text as the lists write words: upper case, single spaces, no punctuation around it.
func normalWord(text string) string {
	text = strings.TrimFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.ToUpper(strings.Join(strings.Fields(text), " "))
}

// consentOf reads a received text; only a text that is nothing but the word counts.
func consentOf(text, country string, c CampaignDetails) (consent, string) {
	word := normalWord(text)
	if word == "" {
		return nothing, ""
	}
	if w, ok := consentWords[word]; ok {
		return w, word
	}
	if w, ok := countryWords[country][word]; ok {
		return w, word
	}
	for _, x := range []struct {
		list string
		what consent
	}{{c.OptoutKeywords, stop}, {c.OptinKeywords, start}, {c.HelpKeywords, help}} {
		for _, k := range strings.Split(x.list, ",") {
			if k = normalWord(k); k == word {
				return x.what, word
			}
		}
	}
	return nothing, ""
}

// The platform's own texts, where neither profile nor campaign has one.
const (
	optOutText = "You have opted out and will receive no further messages from this number. Reply START to opt in again."
	optInText  = "You have opted in and will receive messages from this number again. Reply STOP to opt out."
	helpText   = "Reply STOP to receive no further messages from this number."
)

// firstText gives the first text that is not empty.
func firstText(list ...string) string {
	for _, t := range list {
		if t != "" {
			return t
		}
	}
	return ""
}
