package gsm

// Language is a national language identifier (TS 23.038 §6.2.1.2.4).
type Language byte

// The languages whose tables are known. Spanish has no locking table of its own.
const (
	DefaultLanguage Language = 0
	Turkish         Language = 1
	Spanish         Language = 2
	Portuguese      Language = 3
)

// lockingTables replace the basic table (TS 23.038 annex A.3).
var lockingTables = map[Language][128]rune{
	Turkish: table("@£$¥€éùıòÇ\nĞğ\rÅå" + "Δ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ" + " !\"#¤%&'()*+,-./" + "0123456789:;<=>?" +
		"İABCDEFGHIJKLMNO" + "PQRSTUVWXYZÄÖÑÜ§" + "çabcdefghijklmno" + "pqrstuvwxyzäöñüà"),
	Portuguese: table("@£$¥êéúíóç\nÔô\rÁá" + "Δ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ" + " !\"#º%&'()*+,-./" + "0123456789:;<=>?" +
		"ÍABCDEFGHIJKLMNO" + "PQRSTUVWXYZÃÕÚÜ§" + "~abcdefghijklmno" + "pqrstuvwxyzãõ`üà"),
}

// singleTables replace the extension table (TS 23.038 annex A.2).
var singleTables = map[Language]map[byte]rune{
	Turkish: {
		0x0a: '\f', 0x14: '^', 0x28: '{', 0x29: '}', 0x2f: '\\', 0x3c: '[', 0x3d: '~', 0x3e: ']', 0x40: '|', 0x65: '€',
		0x47: 'Ğ', 0x49: 'İ', 0x53: 'Ş', 0x63: 'ç', 0x67: 'ğ', 0x69: 'ı', 0x73: 'ş',
	},
	Spanish: {
		0x0a: '\f', 0x14: '^', 0x28: '{', 0x29: '}', 0x2f: '\\', 0x3c: '[', 0x3d: '~', 0x3e: ']', 0x40: '|', 0x65: '€',
		0x09: 'ç', 0x41: 'Á', 0x49: 'Í', 0x4f: 'Ó', 0x55: 'Ú', 0x61: 'á', 0x69: 'í', 0x6f: 'ó', 0x75: 'ú',
	},
	Portuguese: {
		0x0a: '\f', 0x14: '^', 0x28: '{', 0x29: '}', 0x2f: '\\', 0x3c: '[', 0x3d: '~', 0x3e: ']', 0x40: '|', 0x65: '€',
		0x05: 'ê', 0x09: 'ç', 0x0b: 'Ô', 0x0c: 'ô', 0x0e: 'Á', 0x0f: 'á', 0x12: 'Φ', 0x13: 'Γ', 0x15: 'Ω', 0x16: 'Π', 0x17: 'Ψ', 0x18: 'Σ',
		0x19: 'Θ', 0x1f: 'Ê', 0x41: 'À', 0x49: 'Í', 0x4f: 'Ó', 0x55: 'Ú', 0x5b: 'Ã', 0x5c: 'Õ', 0x61: 'Â', 0x69: 'í', 0x6f: 'ó', 0x75: 'ú',
		0x7b: 'ã', 0x7c: 'õ', 0x7f: 'â',
	},
}
