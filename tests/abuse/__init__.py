"""One hostile connection of each kind beside one good client: nobody slows the others down."""
