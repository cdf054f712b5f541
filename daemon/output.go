package daemon

import (
	"bytes"
	"io"
	"sync"
)

// heldLimit bounds, in octets, what a task may print before its turn. Then it waits.
const heldLimit = 16 << 20

// output lets several tasks print side by side and keeps their text in order.
type output struct {
	out, err io.Writer

	mu      sync.Mutex
	turned  *sync.Cond
	slots   []*slot // those not finished, in order; the first is live
	midline bool    // the live task has left a line on out open
	waiting []chunk // lines of resident tasks
}

// chunk is text for one of the two streams.
type chunk struct {
	err  bool
	text []byte
}

// slot is one task's place in the order.
type slot struct {
	o    *output
	held []chunk
	size int
	done bool
}

// newOutput puts the order over two streams. Errors of writing to them are ignored: there is nobody to tell.
func newOutput(out, err io.Writer) *output {
	o := &output{out: out, err: err}
	o.turned = sync.NewCond(&o.mu)
	return o
}

// slot takes the next place in the order. The first unfinished place is live.
func (o *output) slot() *slot {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &slot{o: o}
	o.slots = append(o.slots, s)
	return s
}

// finish gives the place up: the next ones go live as far as they are finished, and the first that is not.
func (s *slot) finish() {
	o := s.o
	o.mu.Lock()
	defer o.mu.Unlock()
	s.done = true
	for len(o.slots) > 0 && o.slots[0].done {
		o.slots = o.slots[1:]
		if len(o.slots) > 0 {
			o.release(o.slots[0])
		}
	}
	if len(o.slots) == 0 {
		// Nobody will close the line: the lines of resident tasks need not wait for it.
		o.midline = false
		o.interject()
	}
	o.turned.Broadcast()
}

// release prints what a task has kept.
func (o *output) release(s *slot) {
	for _, c := range s.held {
		o.emit(c)
	}
	s.held, s.size = nil, 0
}

func (o *output) emit(c chunk) {
	if c.err {
		o.err.Write(c.text)
		return
	}
	o.out.Write(c.text)
	if n := len(c.text); n > 0 {
		if o.midline = c.text[n-1] != '\n'; !o.midline {
			o.interject()
		}
	}
}

// interject prints the lines of resident tasks.
func (o *output) interject() {
	for _, c := range o.waiting {
		if c.err {
			o.err.Write(c.text)
		} else {
			o.out.Write(c.text)
		}
	}
	o.waiting = nil
}

func (s *slot) print(c chunk) {
	o := s.o
	o.mu.Lock()
	defer o.mu.Unlock()
	for !s.done && s.size > heldLimit && o.slots[0] != s {
		o.turned.Wait()
	}
	if s.done { // something that the task has left running
		o.insert(chunk{c.err, bytes.Clone(c.text)})
		return
	}
	if o.slots[0] == s {
		o.emit(c)
		return
	}
	s.size += len(c.text)
	if n := len(s.held); n > 0 && s.held[n-1].err == c.err {
		s.held[n-1].text = append(s.held[n-1].text, c.text...)
		return
	}
	s.held = append(s.held, chunk{c.err, bytes.Clone(c.text)})
}

// stream is one of the two writers of a task.
type stream struct {
	*slot
	err bool
}

func (w stream) Write(b []byte) (int, error) {
	w.print(chunk{w.err, b})
	return len(b), nil
}

// Live tells whether the task has its turn: what it writes appears at once, until it is finished.
func (w stream) Live() bool {
	w.o.mu.Lock()
	defer w.o.mu.Unlock()
	return !w.done && w.o.slots[0] == w.slot
}

// lines is one of the two writers of a resident task: it prints whole lines only.
type lines struct {
	o    *output
	err  bool
	mu   sync.Mutex
	part []byte
}

func (w *lines) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = append(w.part, b...)
	if n := bytes.LastIndexByte(w.part, '\n') + 1; n > 0 {
		w.o.mu.Lock()
		w.o.insert(chunk{w.err, bytes.Clone(w.part[:n])})
		w.o.mu.Unlock()
		w.part = append(w.part[:0], w.part[n:]...)
	}
	return len(b), nil
}

// Live is false: a line appears when it is complete.
func (w *lines) Live() bool { return false }

// flush ends an open line.
func (w *lines) flush() {
	w.mu.Lock()
	open := len(w.part) > 0
	w.mu.Unlock()
	if open {
		w.Write([]byte{'\n'})
	}
}

// insert prints text that has no place in the order as soon as no line is open. o.mu is held.
func (o *output) insert(c chunk) {
	o.waiting = append(o.waiting, c)
	if !o.midline {
		o.interject()
	}
}
