package metadata

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Dial says how connections to a metadata service are made, for hosts that do not let everybody
// reach it. The zero Dial is as the host does it for anybody.
type Dial struct {
	// Mark is the packet mark of every connection (SO_MARK of socket(7)), 0 for none. It needs CAP_NET_ADMIN.
	Mark uint32
	// Interface is the NIC that every connection is bound to (SO_BINDTODEVICE of socket(7)), "" for none.
	Interface string
}

// dialer makes connections as d says. Names are looked up as ever: only the service is locked.
func (d Dial) dialer() *net.Dialer {
	return &net.Dialer{Timeout: connectTimeout, Control: func(_, _ string, c syscall.RawConn) error {
		var refused error
		err := c.Control(func(fd uintptr) { refused = d.set(int(fd)) })
		return errors.Join(err, refused)
	}}
}

func (d Dial) set(fd int) error {
	if d.Mark != 0 {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_MARK, int(d.Mark)); err != nil {
			return fmt.Errorf("mark the connection with metadata.mark %#x: %w; run enid as root, with CAP_NET_ADMIN", d.Mark, err)
		}
	}
	if d.Interface == "" {
		return nil
	}
	err := syscall.BindToDevice(fd, d.Interface)
	switch {
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("bind the connection to metadata.interface %s: %w; name a NIC of this host, or none", d.Interface, err)
	case err != nil:
		return fmt.Errorf("bind the connection to metadata.interface %s: %w; run enid as root, with CAP_NET_ADMIN", d.Interface, err)
	}
	return nil
}

// forbidden explains a connection that the host itself refuses (EACCES of connect(2)): a prohibit
// route, by which systemd-imdsd (systemd 261) keeps everybody from the service whose packets do
// not bear its mark.
func (d Dial) forbidden(err error) error {
	if d.Mark == 0 {
		return fmt.Errorf("%w; a prohibit route or a firewall locks the service, as systemd-imdsd does: set metadata.mark to the mark that may pass (systemd-imdsd: 0x7fff0815)", err)
	}
	return fmt.Errorf("%w; a prohibit route or a firewall locks the service, also for the mark %#x of metadata.mark: ip rule shows which mark may pass", err, d.Mark)
}
