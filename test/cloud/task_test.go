package cloud_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"enid/test/cloud"
)

// With a delay, attach and detach are under way: other operations on the
// instance and on the ENI are refused, and events come when it is done.
func TestAttachDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.SetAttachDelay(4 * time.Second)
		got := events(s.Cloud)
		attached, detached := "attached i-4 "+s.free.ID+" "+s.free.MAC.String(), "detached i-4 "+s.free.ID+" "+s.free.MAC.String()

		must(t, s.AttachWith("i-4", s.free.ID, true))
		in := value(s.DescribeInstance("i-4"))(t)
		compare(t, []string{"attachNetworkInterface", cloud.Running}, []string{in.Task, in.Status})
		compare(t, "", value(s.DescribeENI(s.free.ID))(t).Instance)
		checkBusy(t, s, "attachNetworkInterface")
		must(t, s.Assign(s.free.ID, addr("10.0.1.51"))) // its addresses may change meanwhile
		time.Sleep(4*time.Second - time.Nanosecond)
		compare(t, []string{}, got())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		compare(t, []string{attached}, got())
		e := s.Describe("i-4")[1]
		compare(t, []any{s.free.ID, 1, true, 3}, []any{e.ID, e.Index, e.AutoDelete, len(e.Addresses)})
		compare(t, "", value(s.DescribeInstance("i-4"))(t).Task)

		must(t, s.Detach("i-4", s.free.ID))
		checkBusy(t, s, "detachNetworkInterface")
		compare(t, []string{attached}, got())
		s.SetAttachDelay(0) // concerns what begins later
		time.Sleep(4 * time.Second)
		synctest.Wait()
		compare(t, []string{attached, detached}, got())
		compare(t, 1, len(s.Describe("i-4")))
	})
}

// checkBusy wants i-4 and s.free to be busy, and nothing changed by asking.
func checkBusy(t *testing.T, s service, kind string) {
	t.Helper()
	before := wholeOf(s.Cloud)
	for name, err := range map[string]error{
		"attach another": s.Attach("i-4", value(s.CreateENI("subnet-b", cloud.ENIOptions{}))(t).ID),
		"detach":         s.Detach("i-4", s.free.ID),
		"stop":           s.Stop("i-4"),
		"terminate":      s.Terminate("i-4"),
		"delete":         s.DeleteENI(s.free.ID),
		"elsewhere":      s.Attach("i-stopped", s.free.ID),
	} {
		var got cloud.Refusal
		if !errors.As(err, &got) {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
		switch want := precondition("Conflict with underlay task " + kind); {
		case kind == "attachNetworkInterface" && name == "detach":
			compare(t, precondition("NetworkInterface is not attached on this device"), got)
		case kind == "detachNetworkInterface" && name == "elsewhere":
			compare(t, precondition("NetworkInterface has been attached on other device"), got)
		default:
			compare(t, want, got)
		}
	}
	after := wholeOf(s.Cloud)
	last := after.ENIs[len(after.ENIs)-1] // made above
	must(t, s.DeleteENI(last.ID))
	compare(t, before, wholeOf(s.Cloud))
}

// Attach and detach need an instance that is running or stopped, not on its way.
func TestOnlyRunningOrStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.SetAttachDelay(time.Second)
		for _, tt := range []struct {
			id, meanwhile, then string
			do                  func(string) error
		}{
			{"i-1", cloud.Stopping, cloud.Stopped, s.Stop},
			{"i-stopped", cloud.Starting, cloud.Running, s.Start},
		} {
			must(t, tt.do(tt.id))
			compare(t, tt.meanwhile, value(s.DescribeInstance(tt.id))(t).Status)
			before := wholeOf(s.Cloud)
			for _, err := range []error{
				s.Attach(tt.id, s.free.ID), s.Start(tt.id), s.Stop(tt.id), s.Terminate(tt.id), detachOne(s, tt.id),
			} {
				var got cloud.Refusal
				errors.As(err, &got)
				compare(t, precondition("Invalid instance status "+tt.meanwhile), got)
			}
			compare(t, before, wholeOf(s.Cloud))
			time.Sleep(time.Second)
			synctest.Wait()
			compare(t, tt.then, value(s.DescribeInstance(tt.id))(t).Status)
			must(t, tt.do("i-v")) // and back, so that i-v is as it was for the next
			time.Sleep(time.Second)
			synctest.Wait()
		}
		must(t, s.Detach("i-1", s.second.ID)) // stopped
		time.Sleep(time.Second)
		synctest.Wait()
		compare(t, 1, len(s.Describe("i-1")))
	})
}

// detachOne detaches the secondary ENI of i-1, or else asks for what has the same answer.
func detachOne(s service, instance string) error {
	if instance == "i-1" {
		return s.Detach("i-1", s.second.ID)
	}
	return s.Stop(instance)
}
