Feature: Petrel starts
  What people see first: the menu, the greeting, the login.

  @fresh
  Scenario: the boot menu starts Petrel by itself
    Then the serial line shows "Petrel"
    And the serial line shows "Linux version"
    And the machine has started
    And the serial line has never shown "Kernel panic"

  Scenario: it greets before the login
    Given the machine has started
    Then the serial line has never shown "Failed to start"
    And I keep a picture as "the greeting"

  Scenario: the user of the live system logs in, and may become root
    When I log in as "user" with password "live"
    And I run "id --user --name"
    Then the output is "user"
    When I run as root "id --user"
    Then the output is "0"

  Scenario: a wrong password is of no use
    Given the serial line shows "login:"
    When on the serial line, I type "user"
    And on the serial line, I press "enter"
    Then the serial line shows "Password:"
    When on the serial line, I type "guess"
    And on the serial line, I press "enter"
    Then the serial line shows "Login incorrect"

  @only:secure-boot
  Scenario: it starts where only what is signed may
    Then Secure Boot is on

  @only:uefi @only:secure-boot
  Scenario: it was started by a UEFI
    When I run "test -d /sys/firmware/efi"
    Then it succeeds
