"""What Homing writes itself: e-mails, text messages and pop-ups about a failure, in words for people."""
