// Package carriertest is the suite that each carrier driver must pass.
//
// Exercise (carriertest.go) takes a Target, a driver with a carrier behind it whose recipients behave in known ways, and a Sink that collects what the driver
// brings and can be made to fail, as a database that is down would. It knows no protocol, and must not be imported by anything but tests.
package carriertest
