package audio

import "math"

// dtmfKeys by row and column of ITU-T Q.23; dtmfHz has the four rows, then the four columns.
const dtmfKeys = "123A456B789C*0#D"

var dtmfHz = [8]float64{697, 770, 852, 941, 1209, 1336, 1477, 1633}

// The detector moves a window of three blocks of 5 ms over the sound. A key counts when dtmfHits windows in a row show it: a tone of 40 ms
// (must be taken, ITU-T Q.24 table 1) fills six windows by 5/6 or more wherever it begins, a tone of 23 ms (must be refused) at most five. After
// a key, dtmfMisses windows without it must pass: an interruption of 10 ms (one key) spoils three, a pause of 40 ms (two keys) seven.
const (
	dtmfBlock  = Rate / 200
	dtmfWindow = 3
	dtmfHits   = 6
	dtmfMisses = 5
)

// What a window must show, after ITU-T Q.24 table 1 with some room on the taking side.
const (
	dtmfMinLevel    = -32.0 // dBm0 of each tone (operate down to -25 to -29)
	dtmfPurity      = 0.60  // of the energy lies in the two tones: speech has it elsewhere
	dtmfTwistHigh   = 6.0   // dB, column over row
	dtmfTwistLow    = 10.0  // dB, row over column
	dtmfNeighbour   = 8.0   // dB over any other tone of the group
	dtmfMaxOffset   = 0.026 // of the frequency: operate within 1.5 %, refuse from 3.5 %
	dtmfQuietEnergy = 3 * dtmfBlock * 300.0
)

type phasor struct{ re, im float64 }

func (p phasor) power() float64 { return p.re*p.re + p.im*p.im }

// times is p·q; conj is the complex conjugate.
func (p phasor) times(q phasor) phasor { return phasor{p.re*q.re - p.im*q.im, p.re*q.im + p.im*q.re} }
func (p phasor) plus(q phasor) phasor  { return phasor{p.re + q.re, p.im + q.im} }
func (p phasor) conj() phasor          { return phasor{p.re, -p.im} }

// dtmfWaves holds exp(-jwn) of the eight tones over one block, dtmfTurns the turn from one block to the next.
var (
	dtmfWaves = makeDTMFWaves()
	dtmfTurns = makeDTMFTurns()
	dtmfRatio = struct{ high, low, neighbour float64 }{ratio(dtmfTwistHigh), ratio(dtmfTwistLow), ratio(dtmfNeighbour)}
	dtmfPower = math.Pow(peak0dBm0*math.Pow(10, dtmfMinLevel/20)*dtmfWindow*dtmfBlock/2, 2)
)

func ratio(db float64) float64 { return math.Pow(10, db/10) }

func makeDTMFWaves() (waves [8][dtmfBlock]phasor) {
	for k, hz := range dtmfHz {
		for n := range dtmfBlock {
			sin, cos := math.Sincos(2 * math.Pi * hz * float64(n) / Rate)
			waves[k][n] = phasor{cos, -sin}
		}
	}
	return waves
}

func makeDTMFTurns() (turns [8]phasor) {
	for k, hz := range dtmfHz {
		sin, cos := math.Sincos(2 * math.Pi * hz * dtmfBlock / Rate)
		turns[k] = phasor{cos, -sin}
	}
	return turns
}

// DTMFDetector finds the keys pressed in the sound of a call, by the limits of ITU-T Q.24, and keeps speech from looking like keys. Make it with
// [NewDTMFDetector].
type DTMFDetector struct {
	block  [dtmfBlock]int16
	filled int

	blocks   [dtmfWindow][8]phasor // spectra of the last blocks, oldest first
	energies [dtmfWindow]float64
	before   [2]phasor // row and column of the window before
	drift    [2]phasor // sum of the turns from window to window: its angle is how far the tones are off
	run      byte      // key of the run of windows, 0 for none
	hits     int
	key      byte // key reported and still held, 0 for none
	misses   int
	found    []byte
}

// NewDTMFDetector makes a detector for one direction of one call.
func NewDTMFDetector() *DTMFDetector {
	return &DTMFDetector{found: make([]byte, 0, 8)}
}

// Feed takes the next samples, any number of them, and returns the keys recognised with them, commonly none: each once, about 40 ms after
// its beginning. The slice is valid until the next call.
func (d *DTMFDetector) Feed(frame []int16) []byte {
	d.found = d.found[:0]
	for len(frame) > 0 {
		n := copy(d.block[d.filled:], frame)
		frame = frame[n:]
		d.filled += n
		if d.filled == dtmfBlock {
			d.filled = 0
			d.step()
		}
	}
	return d.found
}

// Held is the key that sounds now, 0 for none.
func (d *DTMFDetector) Held() byte { return d.key }

// step judges the window that ends with the block just filled.
func (d *DTMFDetector) step() {
	copy(d.blocks[:], d.blocks[1:])
	copy(d.energies[:], d.energies[1:])
	newest := dtmfWindow - 1
	d.energies[newest] = energy(d.block[:])
	d.blocks[newest] = [8]phasor{}
	total := 0.0
	for _, e := range d.energies {
		total += e
	}
	if d.energies[newest] > dtmfQuietEnergy/dtmfWindow {
		d.blocks[newest] = spectrum(&d.block)
	}
	if total < dtmfQuietEnergy {
		d.miss()
		return
	}
	tones := d.window()
	row, col, ok := strongest(&tones)
	if !ok || !clean(&tones, row, col, total) {
		d.miss()
		return
	}
	d.hit(row, col, tones)
}

func spectrum(block *[dtmfBlock]int16) (s [8]phasor) {
	for k := range s {
		re, im := 0.0, 0.0
		wave := &dtmfWaves[k]
		for n, v := range block {
			x := float64(v)
			re += x * wave[n].re
			im += x * wave[n].im
		}
		s[k] = phasor{re, im}
	}
	return s
}

// window joins the spectra of the blocks into that of the window.
func (d *DTMFDetector) window() (tones [8]phasor) {
	for k := range tones {
		turn := phasor{1, 0}
		for b := range d.blocks {
			tones[k] = tones[k].plus(d.blocks[b][k].times(turn))
			turn = turn.times(dtmfTurns[k])
		}
	}
	return tones
}

// strongest finds the row and the column; not ok when one of them does not stand out of its group.
func strongest(tones *[8]phasor) (row, col int, ok bool) {
	col = 4
	for k := range 4 {
		if tones[k].power() > tones[row].power() {
			row = k
		}
		if tones[4+k].power() > tones[col].power() {
			col = 4 + k
		}
	}
	for k := range tones {
		winner := row
		if k >= 4 {
			winner = col
		}
		if k != winner && tones[k].power()*dtmfRatio.neighbour > tones[winner].power() {
			return row, col, false
		}
	}
	return row, col, true
}

// clean applies the limits of level, twist and purity; total is the energy of the window.
func clean(tones *[8]phasor, row, col int, total float64) bool {
	low, high := tones[row].power(), tones[col].power()
	if low < dtmfPower || high < dtmfPower {
		return false
	}
	if high > low*dtmfRatio.high || low > high*dtmfRatio.low {
		return false
	}
	return 2*(low+high) > dtmfPurity*dtmfWindow*dtmfBlock*total
}

func (d *DTMFDetector) hit(row, col int, tones [8]phasor) {
	key := dtmfKeys[row*4+col-4]
	pair := [2]phasor{tones[row], tones[col]}
	if key != d.run {
		d.run, d.hits = key, 0
		d.drift = [2]phasor{}
	} else {
		// A tone exactly on its frequency turns by the known angle from window to window; what is left over is its offset.
		d.drift[0] = d.drift[0].plus(pair[0].times(d.before[0].conj()).times(dtmfTurns[row]))
		d.drift[1] = d.drift[1].plus(pair[1].times(d.before[1].conj()).times(dtmfTurns[col]))
	}
	d.before = pair
	d.hits++
	if key == d.key {
		d.misses = 0
		return
	}
	d.release()
	if d.hits >= dtmfHits && onFrequency(d.drift[0], dtmfHz[row]) && onFrequency(d.drift[1], dtmfHz[col]) {
		d.key, d.misses = key, 0
		d.found = append(d.found, key)
	}
}

// onFrequency reads the offset of a tone from the angle it gained in one block.
func onFrequency(drift phasor, hz float64) bool {
	offset := math.Atan2(drift.im, drift.re) / (2 * math.Pi) * Rate / dtmfBlock
	return math.Abs(offset) <= dtmfMaxOffset*hz
}

func (d *DTMFDetector) miss() {
	d.run, d.hits = 0, 0
	d.release()
}

// release counts a window without the held key and lets go of it after enough of them.
func (d *DTMFDetector) release() {
	if d.key == 0 {
		return
	}
	d.misses++
	if d.misses >= dtmfMisses {
		d.key, d.misses = 0, 0
	}
}
