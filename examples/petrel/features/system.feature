Feature: Petrel is a sound system

  Scenario: all that shall run does
    Then no unit has failed

  Scenario: the system says what it is
    When I run "hostname"
    Then the output is "petrel"
    When I run ". /etc/os-release && echo $IMAGE_ID"
    Then the output contains "petrel-amd64-"
    When I run "systemctl is-active petrel-greeter.service"
    Then it succeeds

  Scenario: packages are all configured
    When I run "dpkg --audit"
    Then it succeeds
    And the output is empty

  Scenario: the medium is read-only, and the system is not
    When I run "findmnt --noheadings --output OPTIONS /run/live/medium"
    Then the output contains "ro"
    When I run as root "mount -o remount,rw /run/live/medium"
    Then the exit code is 32
    When I run as root "touch /usr/mine"
    Then it succeeds

  Scenario: it switches itself off
    When I leave with "sudo poweroff"
    Then the machine goes off
    And the serial line has never shown "Failed unmounting /run/live/medium"

  @limit:600
  Scenario: nothing that is changed outlives a restart
    When I run as root "echo mine >/etc/mine"
    Then it succeeds
    When I leave with "sudo reboot"
    And the machine has started
    And I run "cat /etc/mine"
    Then the exit code is 1
