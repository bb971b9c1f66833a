package e164

import "slices"

// TollFree tells whether the called party pays: North American 800, 833, 844, 855, 866, 877 and 888.
func (n Number) TollFree() bool { return slices.Contains(tollFree, n.AreaCode()) }

// Premium tells whether a call is dear by design: North American area code 900, and exchange 976 in any area code.
func (n Number) Premium() bool {
	return n.NANP() && (n.AreaCode() == "900" || n[4:7] == "976")
}

// Emergency tells whether s, as dialled, asks for an emergency service: 911, 112, 999, 000, and 911 behind a trunk or country digit;
// 933 is the North American test number and counts too. Short numbers that are emergency numbers only in some countries (110, 118,
// 119) are not listed, because they are ordinary extensions elsewhere.
func Emergency(s string) bool {
	digits, _, err := strip(s, "")
	return err == nil && slices.Contains(emergency, digits)
}

var (
	tollFree  = []string{"800", "833", "844", "855", "866", "877", "888"}
	emergency = []string{"911", "1911", "9911", "933", "112", "999", "000"}
)
