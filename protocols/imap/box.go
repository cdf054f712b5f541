package imap

import "slices"

// maxBox is the largest number of messages in a folder that is believed.
const maxBox = 1 << 20

// maxGap is how far beyond the known part of a folder a message number may lie and still be remembered.
const maxGap = 1 << 16

// box is what the server's untagged responses have told about the selected folder, in the order in which they came
// over the wire. An id is a UID, or the original number where UIDs are not used; 0 is unknown.
type box struct {
	exists uint32
	ids    []uint32 // ids[n-1] belongs to message number n; may be shorter than exists
	gone   map[uint32]bool
	count  int  // EXPUNGE responses since the last call of number
	grown  bool // an EXISTS announced more than there was
	noUID  bool // a FETCH response without UID came while the folder was being listed
}

func (b *box) reset() {
	*b = box{gone: map[uint32]bool{}}
}

// setExists takes an EXISTS response.
func (b *box) setExists(n uint32) {
	if n > b.exists {
		b.grown = true
	}
	b.exists = n
	if uint32(len(b.ids)) > n {
		b.ids = b.ids[:n]
	}
}

// learn remembers the id of message number n.
func (b *box) learn(n, id uint32) {
	if n == 0 || n > maxBox || n > uint32(len(b.ids))+maxGap {
		return
	}
	for uint32(len(b.ids)) < n {
		b.ids = append(b.ids, 0)
	}
	b.ids[n-1] = id
}

// number makes the ids of all messages their present numbers, and begins to count.
func (b *box) number() {
	b.count = 0
	b.ids = b.ids[:0]
	for n := uint32(1); n <= min(b.exists, maxBox); n++ {
		b.ids = append(b.ids, n)
	}
}

// forget gives up all ids: responses may have been missed.
func (b *box) forget() { clear(b.ids) }

// expunge takes an EXPUNGE response.
func (b *box) expunge(n uint32) {
	if n == 0 || n > b.exists {
		return
	}
	b.exists--
	b.count++
	if n <= uint32(len(b.ids)) {
		if id := b.ids[n-1]; id != 0 {
			b.gone[id] = true
		}
		b.ids = slices.Delete(b.ids, int(n-1), int(n))
	}
}

// id is the id of message number n, 0 if unknown.
func (b *box) id(n uint32) uint32 {
	if n == 0 || n > uint32(len(b.ids)) {
		return 0
	}
	return b.ids[n-1]
}

// nums gives the present number of every known id.
func (b *box) nums() map[uint32]uint32 {
	m := make(map[uint32]uint32, len(b.ids))
	for i, id := range b.ids {
		if id != 0 {
			m[id] = uint32(i + 1)
		}
	}
	return m
}

// num is the number that the message with this id has now, 0 if it is unknown.
func (b *box) num(id uint32) uint32 {
	return uint32(slices.Index(b.ids, id) + 1)
}
