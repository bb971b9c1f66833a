package flite

import "strings"

// spellings of letters and signs outside ASCII, which flite would spell out byte by byte.
var spellings = strings.NewReplacer(
	"‘", "'", "’", "'", "‚", "'", "“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`,
	"–", " - ", "—", " - ", "−", "-", "‐", "-", "‑", "-", "…", "...", "•", ",", "·", ",",
	"à", "a", "á", "a", "â", "a", "ã", "a", "ä", "a", "å", "a", "æ", "ae", "ç", "c", "è", "e", "é", "e", "ê", "e", "ë", "e",
	"ì", "i", "í", "i", "î", "i", "ï", "i", "ñ", "n", "ò", "o", "ó", "o", "ô", "o", "õ", "o", "ö", "o", "ø", "o", "œ", "oe",
	"ù", "u", "ú", "u", "û", "u", "ü", "u", "ý", "y", "ÿ", "y", "ß", "ss", "ł", "l", "š", "s", "ž", "z", "č", "c",
	"À", "A", "Á", "A", "Â", "A", "Ã", "A", "Ä", "A", "Å", "A", "Æ", "AE", "Ç", "C", "È", "E", "É", "E", "Ê", "E", "Ë", "E",
	"Ì", "I", "Í", "I", "Î", "I", "Ï", "I", "Ñ", "N", "Ò", "O", "Ó", "O", "Ô", "O", "Õ", "O", "Ö", "O", "Ø", "O", "Œ", "OE",
	"Ù", "U", "Ú", "U", "Û", "U", "Ü", "U", "Ý", "Y", "Ł", "L", "Š", "S", "Ž", "Z", "Č", "C",
	"€", " euros ", "£", " pounds ", "¥", " yen ", "¢", " cents ", "°", " degrees ", "½", " one half", "¼", " one quarter", "¾", " three quarters",
	"×", " times ", "÷", " divided by ", "©", " copyright ", "®", "", "™", "", "№", " number ",
)

// ascii spells text in ASCII and drops what has no spelling.
func ascii(text string) string {
	text = spellings.Replace(text)
	text = strings.Map(func(r rune) rune {
		if r > 126 || r < 32 {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
