package session

import "github.com/yardmaster/yardmaster/internal/scheduler"

// propose asks for a command of this session, with the attach number that will be current.
func (m *Machine) propose(op scheduler.Op, c scheduler.SessionCommand, acts *Actions) {
	c.Session = m.id
	m.submit(scheduler.Command{Op: op, Session: &c}, acts)
}

// submit stamps a command with the attach number, or holds it back while that is about to change.
func (m *Machine) submit(c scheduler.Command, acts *Actions) {
	if m.attaching {
		m.held = append(m.held, c)
		return
	}
	m.stamp(&c)
	acts.Propose = append(acts.Propose, c)
}

func (m *Machine) stamp(c *scheduler.Command) {
	if c.Session != nil {
		c.Session.Attach = m.attach
	} else {
		c.Outcomes.Attach = m.attach
	}
}

// release gives back a lease that the worker never saw. Those of one step travel in one command.
func (m *Machine) release(t scheduler.Token, acts *Actions) {
	list := acts.Propose
	if m.attaching {
		list = m.held
	}
	if n := len(list); n > 0 && list[n-1].Op == scheduler.OpRelease && list[n-1].Session.Session == m.id {
		list[n-1].Session.Over = append(list[n-1].Session.Over, t)
		return
	}
	m.propose(scheduler.OpRelease, scheduler.SessionCommand{Over: []scheduler.Token{t}}, acts)
}

// Applied says what became of a command that was proposed, other than Outcomes. attach is the reply's attach number.
func (m *Machine) Applied(c *scheduler.SessionCommand, op scheduler.Op, code scheduler.Code, attach uint64, acts *Actions) {
	if m.life == ended || c.Attach != m.attach {
		return // a Resume has come between
	}
	switch op {
	case scheduler.OpAttach:
		m.attached(code, attach, acts)
	case scheduler.OpExpireSession:
		if code != scheduler.CodeOK && m.life == expiring {
			m.life = alive
		}
	case scheduler.OpCloseSession:
		why := EndClosed
		if code != scheduler.CodeOK {
			why = EndExpired
		}
		m.cut(why, acts)
	}
}

func (m *Machine) attached(code scheduler.Code, attach uint64, acts *Actions) {
	if !m.attaching {
		return
	}
	m.attaching = false
	if code == scheduler.CodeOK {
		m.attach = attach
		m.detached = m.stream == 0
	}
	for i := range m.held {
		m.stamp(&m.held[i])
	}
	acts.Propose = append(acts.Propose, m.held...)
	m.held = nil
}
