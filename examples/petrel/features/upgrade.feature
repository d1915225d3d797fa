Feature: Petrel is upgraded by a kit
  Tried with "distwright image test petrel --upgrade-from OLD" when there is a
  kit from an earlier image: its machine starts from a stick with that one.

  @upgrade @limit:1200
  Scenario: a stick becomes this image, and keeps what it kept
    Given the machine has started
    Then the image before is running
    When I run as root "echo mine >/etc/mine && sync"
    Then it succeeds
    When the stick is upgraded by the kit
    And I press the reset button
    Then the machine has started
    And the new image is running
    When I run "cat /etc/mine"
    Then the output is "mine"
    And no unit has failed
